"""Logs: one line an event, fields in the journal, readable on a terminal, else JSON; libraries' included.

An outage is one line when it begins and one when it ends (`OutageLog`); what lies between is counted.
"""

import logging
import os
import sys
from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

import orjson
import structlog
from structlog.typing import Processor, WrappedLogger

from edge_agent.contracts.clock import Clock
from edge_agent.wire.journal import PRIORITIES, SOCKET, Journal, is_journal

IDENTIFIER: Final = "edge-agent"
# These log every failed attempt or request by themselves; their callers report outages once.
_CHATTY: Final = {
    "aiohttp.access": logging.WARNING,
    "asyncua": logging.CRITICAL,
    "pymodbus": logging.CRITICAL,
}
# As the journal has them: a dataclass shows what its own text shows.
_AS_TEXTS: Final = (
    orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
)


class LogRing(logging.Handler):
    """The newest lines in memory, for the local page: bounded by their number and their bytes."""

    MAX_LINES: Final = 1_000
    MAX_BYTES: Final = 512 << 10
    MAX_LINE_BYTES: Final = 8 << 10

    def __init__(self, max_lines: int = MAX_LINES, max_bytes: int = MAX_BYTES) -> None:
        super().__init__()
        self._lines: deque[tuple[int, int, bytes]] = deque()
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._bytes = 0
        self.newest = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Called under the handler's lock, from any thread."""
        try:
            text = self.format(record).encode("utf-8", "replace")
            if len(text) > self.MAX_LINE_BYTES:
                text = _shortened(text, self.MAX_LINE_BYTES)
        except Exception:  # noqa: BLE001 - as every handler does: a line that cannot be written stops nobody
            self.handleError(record)
            return
        self.newest += 1
        self._lines.append((self.newest, record.levelno, text))
        self._bytes += len(text)
        while len(self._lines) > self._max_lines or self._bytes > self._max_bytes:
            self._bytes -= len(self._lines.popleft()[2])

    def lines(self, after: int, level: str, limit: int) -> list[dict[str, Any]]:
        """The newest `limit` lines of at least `level` with an `id` above `after`, ascending."""
        least = logging.getLevelNamesMapping()[level.upper()]
        assert self.lock is not None, "made by logging.Handler"
        with self.lock:
            found = [entry for entry in self._lines if entry[0] > after and entry[1] >= least]
        return [
            {"id": number, **orjson.loads(text)} for number, _, text in found[max(0, len(found) - limit) :]
        ]


class JournalHandler(logging.Handler):
    """Lines to the journal with their keys as fields. One that it does not take at once is counted there."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = orjson.loads(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler does: a line that cannot be written stops nobody
            self.handleError(record)
            return
        self._journal.send(line)

    def close(self) -> None:
        self._journal.close()
        super().close()


def _shortened(text: bytes, most: int) -> bytes:
    """A line that is too long, without its fields."""
    line = orjson.loads(text)
    kept = {key: line.get(key) for key in ("time", "level", "logger")}
    return orjson.dumps({**kept, "event": f"{str(line.get('event'))[: most // 8]}…"})


def configure(
    level: str = "info",
    stream: TextIO | None = None,
    ring: LogRing | None = None,
    journal: Path = SOCKET,
) -> None:
    """Sends all logs of the process to `stream` (default: standard error), from `level` on.

    level: debug, info, warning or error. ring: keeps the newest lines too. journal: where journald listens;
    lines go there where systemd connected the stream to it. Called once at the start and again when the
    level changes.
    """
    stream = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for old in root.handlers:
        if isinstance(old, JournalHandler):
            old.close()
    root.handlers[:] = [_handler(stream, shared, journal)]
    if ring is not None:
        ring.setFormatter(_strict_format(shared))
        root.handlers.append(ring)
    root.setLevel(level.upper())
    hush_libraries(tell_all=level == "debug")


def hush_libraries(*, tell_all: bool = False) -> None:
    """Also for commands, which log nothing: what a library says would stand among what they print."""
    for name, least in _CHATTY.items():
        logging.getLogger(name).setLevel(logging.NOTSET if tell_all else least)


def _handler(stream: TextIO, shared: list[Processor], address: Path) -> logging.Handler:
    journal = Journal.of_stream(stream, os.environ, IDENTIFIER, address)
    handler: logging.Handler
    if journal is not None:
        handler = JournalHandler(journal)
        handler.setFormatter(_strict_format(shared))
        return handler
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_for_people(os.environ) if stream.isatty() else _for_machines(stream, os.environ)),
            ],
        )
    )
    return handler


def _strict_format(shared: list[Processor]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_strict_json),
        ],
    )


def _strict_json(line: Mapping[str, Any], **_: Any) -> str:
    """A line as JSON that every parser reads: NaN is null. Where that cannot be, all its fields are texts."""
    try:
        return orjson.dumps(line, default=str, option=_AS_TEXTS).decode()
    except TypeError:  # a number of more than 64 bits, half of a surrogate pair
        return orjson.dumps({_clean(key): _clean(value) for key, value in line.items()}).decode()


def _clean(value: object) -> str:
    return str(value).encode("utf-8", "replace").decode()


def _for_people(environ: Mapping[str, str]) -> list[Processor]:
    colours = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    return [structlog.dev.ConsoleRenderer(colors=colours, timestamp_key="time")]


def _for_machines(stream: TextIO, environ: Mapping[str, str]) -> list[Processor]:
    chain: list[Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
    ]
    if is_journal(stream, environ.get("JOURNAL_STREAM", "")):
        chain.append(_prefix_priority)
    return chain


def _prefix_priority(_: WrappedLogger, method: str, text: Any) -> str:
    """sd-daemon(3): a line of the stream may begin with its priority."""
    return f"<{PRIORITIES.get(method, 6)}>{text}"


class Log(Protocol):
    """What `OutageLog` needs of a structlog logger."""

    def warning(self, event: str, **fields: Any) -> Any: ...

    def info(self, event: str, **fields: Any) -> Any: ...


@dataclass(slots=True)
class _Outage:
    since: float
    failures: int = 1


class OutageLog:
    """One line when something goes down, one when it is back, and a count of the failures between.

    Keys name what can be down (a connection, a unit, a sink); they come from the config, so that there
    are not more of them than things configured. `forget` what is no longer configured.
    """

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._outages: dict[Hashable, _Outage] = {}

    def down(self, key: Hashable, event: str, **fields: Any) -> bool:
        """Notes a failure. Logs the first since the last success, and says whether this was it."""
        outage = self._outages.get(key)
        if outage is not None:
            outage.failures += 1
            return False
        self._outages[key] = _Outage(self._clock.monotonic())
        self._log.warning(event, **fields)
        return True

    def back(self, key: Hashable, event: str, **fields: Any) -> bool:
        """Notes a success. Logs it if the key was down, with `outage_seconds` and `failures`."""
        outage = self._outages.pop(key, None)
        if outage is None:
            return False
        seconds = round(self._clock.monotonic() - outage.since, 3)
        self._log.info(event, outage_seconds=seconds, failures=outage.failures, **fields)
        return True

    def forget(self, key: Hashable) -> None:
        self._outages.pop(key, None)

    def is_down(self, key: Hashable) -> bool:
        return key in self._outages
