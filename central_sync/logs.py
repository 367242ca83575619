"""Logging: readable on a terminal, fields in the journal, JSON lines elsewhere; always to standard error."""

import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TextIO

import structlog

from edge_agent.wire.journal import SOCKET, Journal

IDENTIFIER: Final = "central-sync"
# What comes before the line is written, wherever to.
_SHARED: Final[list[structlog.typing.Processor]] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


def set_up(
    level: str,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
    journald: Path = SOCKET,
) -> None:
    """stream: default: standard error. Lines go to journald where systemd connected the stream to it."""
    stream = sys.stderr if stream is None else stream
    journal = Journal.of_stream(stream, environ, IDENTIFIER, journald)
    factory: Any = structlog.PrintLoggerFactory(stream)
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if stream.isatty() else structlog.processors.JSONRenderer()
    )
    foreign: logging.Handler = logging.StreamHandler(stream)
    if journal is not None:
        last, factory = _as_argument, lambda *_: _ToJournal(journal)
        foreign = _Foreign(journal)
    structlog.configure(
        processors=[*_SHARED, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )
    foreign.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [foreign]
    root.setLevel(logging.WARNING)
    logging.getLogger("aiohttp.server").filters[:] = [_NotHttp()]


def _as_argument(
    _: structlog.typing.WrappedLogger, __: str, line: structlog.typing.EventDict
) -> tuple[tuple[structlog.typing.EventDict], dict[str, Any]]:
    return (line,), {}


class _ToJournal:
    """What structlog calls with a line whose keys are still apart."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def msg(self, line: Mapping[str, Any]) -> None:
        self._journal.send(line)

    debug = info = warning = error = critical = exception = msg


class _NotHttp(logging.Filter):
    """What aiohttp says of bytes that are no request: a line a second at most, and nothing of the bytes. A
    password or a token may be among them, and anybody can send them."""

    def __init__(self) -> None:
        super().__init__()
        self._second = -1

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not type(error).__module__.startswith("aiohttp."):
            return True
        second, self._second = self._second, int(time.monotonic())
        record.exc_info = record.exc_text = None
        record.msg = f"{record.getMessage()}: what came is no HTTP request ({type(error).__name__})"
        record.args, record.levelno, record.levelname = (), logging.WARNING, "WARNING"
        return self._second != second


class _Foreign(logging.Handler):
    """Lines of libraries."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        line = {"event": record.getMessage(), "level": record.levelname.lower(), "logger": record.name}
        if record.exc_info:
            line["exception"] = logging.Formatter().formatException(record.exc_info)
        self._journal.send(line)

    def close(self) -> None:
        self._journal.close()
        super().close()
