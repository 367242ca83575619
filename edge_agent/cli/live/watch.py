"""Asks the agent again and again, and notices when it goes away and comes back."""

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from edge_agent.cli.context import Client
from edge_agent.cli.figures import span
from edge_agent.cli.live.figures import Snapshot
from edge_agent.contracts.errors import NotConnected, Unsupported

# Rates are over this many intervals: a group that is polled every few seconds does not make them jump.
_WINDOW: Final = 5
_RESTART_SECONDS: Final = 30.0


@dataclass(slots=True)
class Watch:
    """The newest snapshots of one run. trouble: why the last question brought no answer. restarts: how
    often another run answered than before."""

    history: deque[Snapshot] = field(default_factory=lambda: deque(maxlen=_WINDOW + 1))
    trouble: str = ""
    restarts: int = 0

    def took(self, snapshot: Snapshot) -> None:
        if self.history and self.history[-1].status.run != snapshot.status.run:
            self.history.clear()
            self.restarts += 1
        self.history.append(snapshot)
        self.trouble = ""

    def failed(self, reason: str) -> None:
        self.trouble = reason


def notice(trouble: str, restarts: int, uptime_seconds: float) -> str:
    """What stands below the head: the agent is away, or has come back a moment ago."""
    if trouble:
        return f"no answer, trying again; these are the last figures: {trouble}"
    if restarts and uptime_seconds < _RESTART_SECONDS:
        return f"the agent has restarted, {span(uptime_seconds)} ago"
    return ""


def ask(client: Client, connection: str | None) -> Snapshot:
    """Raises NotConnected, and Unsupported for a connection that there is not any more."""
    status = client.status()
    return Snapshot(status, client.latest(connection) if connection is not None else ())


class Watcher:
    """Asks in a thread, so that keys work while the agent is slow to answer.

    The thread alone writes `watch`, under `lock`; whoever reads it holds that too. `turns` counts the
    questions that have ended, with an answer or without.
    """

    def __init__(
        self, client: Client, first: Snapshot, interval_seconds: float, connection: str | None = None
    ) -> None:
        self.lock = threading.Lock()
        self.watch = Watch()
        self.watch.took(first)
        self.turns = 0
        self.connection = connection
        self._client = client
        self._interval_seconds = interval_seconds
        self._soon = threading.Event()
        self._stopped = threading.Event()
        # A daemon: a question that hangs must not keep the terminal.
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._soon.set()

    def look_at(self, connection: str | None) -> None:
        """Asks for the values of this connection, from now on."""
        if connection != self.connection:
            self.connection = connection
            self._soon.set()

    def _run(self) -> None:
        while True:
            self._soon.wait(self._interval_seconds)
            self._soon.clear()
            if self._stopped.is_set():
                return
            self._turn()
            self.turns += 1

    def _turn(self) -> None:
        try:
            snapshot = self._ask()
        except (NotConnected, Unsupported) as error:
            with self.lock:
                self.watch.failed(str(error))
        else:
            with self.lock:
                self.watch.took(snapshot)

    def _ask(self) -> Snapshot:
        try:
            return ask(self._client, self.connection)
        except Unsupported:
            # A reload took the connection away while somebody looked at it: the rest goes on.
            return ask(self._client, None)
