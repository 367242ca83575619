"""Holdfast installed on a machine of its own as docs/systemd.md says, with a simulated PLC beside it."""

import json
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.crash.judge import Judgement, judge
from tests.system.nspawn import PREFIX, Machine, until

AGENT: Final = "edge-agent"
CENTRE: Final = "central-sync"
AGENT_USER: Final = "holdfast"
CENTRE_USER: Final = "holdfast-centre"
DEVICE: Final = "press-1"
CONFIG: Final = "/etc/holdfast/edge-agent.yaml"
INSTALL: Final = f"{PREFIX}/share/holdfast/systemd/install"
TAGS: Final = 20
CONNECTIONS: Final = 2
# Short enough for a test, long enough for a machine that is busy with others.
WATCHDOG_SECONDS: Final = 6
_TOKEN: Final = "of-the-credentials"
_FIRST_PORT: Final = 5020
_CENTRE_DATA: Final = "/var/lib/holdfast-centre"
_SETTLE_SECONDS: Final = 60.0
_COPY: Final = (
    "import sqlite3, sys\n"
    "source, target = (sqlite3.connect(path, timeout=30) for path in sys.argv[1:])\n"
    "source.backup(target)"
)


def _as(user: str) -> tuple[str, ...]:
    return ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")


@dataclass(frozen=True)
class Promise:
    """What an agent had framed when it was asked: all of it must arrive."""

    samples: dict[tuple[str, str], int]


class Holdfast:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def install(self) -> None:
        do = self.machine.do
        do("python3", "-m", "venv", PREFIX)
        do(
            f"{PREFIX}/bin/pip", "install", "--quiet", "--no-index", "--find-links=/wheels",
            "holdfast[central,speed,hooks]", timeout=300,
        )  # fmt: skip
        do(INSTALL, "--agent", "--centre")
        for unit in (AGENT, CENTRE):
            text = f"[Service]\nWatchdogSec={WATCHDOG_SECONDS}\nTimeoutAbortSec=3\n"
            self.machine.write(f"/etc/systemd/system/{unit}.service.d/watchdog.conf", text)
        do("systemctl", "daemon-reload")

    def start(self) -> None:
        do = self.machine.do
        do("systemctl", "start", CENTRE)
        # As an operator would: as the user whose database it is.
        token = do(
            *_as(CENTRE_USER), f"{PREFIX}/bin/central-sync", "token", "create", "--data", _CENTRE_DATA,
            "--device", DEVICE,
        )  # fmt: skip
        self.machine.write("/etc/holdfast/secrets/central-token", token, 0o600)
        self.configure(document())
        do(
            "systemd-run", "--quiet", "--unit=simulator", f"{PREFIX}/bin/edge-agent", "simulate", "modbus",
            f"--port={_FIRST_PORT}", f"--ports={CONNECTIONS}",
        )  # fmt: skip
        do("systemctl", "start", AGENT)

    def configure(self, content: dict[str, Any]) -> None:
        text = yaml.safe_dump(content).replace(_TOKEN, "!secret central-token")
        self.machine.write(CONFIG, text, 0o640)

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.machine.do(f"{PREFIX}/bin/edge-agent", "status", "--json"))
        return answer

    def runs(self) -> bool:
        """Whether the agent polls everything and the centre has had a batch of this run."""
        if not self.machine.is_active(AGENT):
            return False
        status = self.status()
        return all(entry["framed"] > 0 for entry in status["accounting"]) and all(
            sink["state"] == "ok" and sink["delivered_batches"] > 0 for sink in status["sinks"]
        )

    def promise(self) -> Promise:
        status = self.status()
        return Promise(
            {(status["run"], entry["connection"]): entry["framed"] for entry in status["accounting"]}
        )

    def judged(self) -> Judgement:
        """Of a copy, since SQLite finds no way into a container; made as the user whose database it is."""
        copy = "/tmp/judged.db"
        do = self.machine.do
        do(*_as(CENTRE_USER), "python3", "-c", _COPY, f"{_CENTRE_DATA}/central.db", copy)
        with tempfile.TemporaryDirectory() as directory:
            own = shutil.copy(self.machine.path(copy), directory)
            do("rm", copy)
            return judge(Path(own), TAGS)

    def nothing_is_lost(self, promises: Iterable[Promise]) -> Judgement:
        """Waits until all that was promised is at the centre; then nothing is missing, doubled or wrong."""
        promised = {run: count for promise in promises for run, count in promise.samples.items()}
        assert promised

        def arrived() -> bool:
            samples = self.judged().samples
            return all(samples.get(run, 0) >= count for run, count in promised.items())

        until(arrived, _SETTLE_SECONDS, f"{promised} at the centre")
        judgement = self.judged()
        assert (judgement.holes(), judgement.doubled, judgement.wrong_rows) == ([], 0, 0), judgement.summary()
        return judgement


def document(interval: str = "200ms") -> dict[str, Any]:
    """A config. Frames wait for 4 s before they are committed, so that a kill finds some in the ring."""
    return {
        "agent": {"id": DEVICE},
        "central": {
            "url": "http://127.0.0.1:8080",
            "token": _TOKEN,
            "heartbeat_interval": "2s",
        },
        "buffer": {"path": "/var/lib/holdfast/buffer.db", "flush_interval": "4s"},
        "connections": [
            {
                "name": f"plc{index}",
                "driver": "modbus",
                "transport": {"type": "tcp", "host": "127.0.0.1", "port": _FIRST_PORT + index},
                "groups": [
                    {
                        "name": "all",
                        "interval": interval,
                        "tags": [
                            {
                                "name": f"t[0..{TAGS - 1}]",
                                "address": f"holding:0..{TAGS - 1}",
                                "type": "uint16",
                            }
                        ],
                    }
                ],
            }
            for index in range(CONNECTIONS)
        ],
    }
