import logging
from collections.abc import Iterator
from io import StringIO

import pytest
import structlog

from edge_agent.runtime.logging import LogRing, configure

LIBRARIES = ("pymodbus", "asyncua", "aiohttp.access", "snap7")


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in LIBRARIES}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, least in levels.items():
        logging.getLogger(name).setLevel(least)
    structlog.reset_defaults()


def ring(**bounds: int) -> LogRing:
    made = LogRing(**bounds)
    configure("debug", StringIO(), made)
    return made


log = structlog.stdlib.get_logger("edge_agent.test")


def events(found: LogRing, after: int = 0, level: str = "debug", limit: int = 100) -> list[str]:
    return [line["event"] for line in found.lines(after, level, limit)]


def test_a_line_is_what_the_journal_gets() -> None:
    kept = ring()
    log.warning("connection is down", connection="프레스", error="refused")
    (line,) = kept.lines(0, "info", 10)
    assert line.pop("time").endswith("Z")
    assert line == {
        "id": 1, "event": "connection is down", "level": "warning", "logger": "edge_agent.test",
        "connection": "프레스", "error": "refused",
    }  # fmt: skip


def test_lines_of_libraries_and_exceptions_are_kept() -> None:
    kept = ring()
    logging.getLogger("some.library").error("it took %d s", 3)
    try:
        raise ValueError("reason")
    except ValueError:
        log.exception("failed")
    first, second = kept.lines(0, "error", 10)
    assert first["event"] == "it took 3 s"
    assert "ValueError: reason" in second["exception"]


def test_the_level_the_place_and_the_limit_choose() -> None:
    kept = ring()
    for number in range(3):
        log.debug("debug %d", number)
        log.error("error %d", number)
    assert events(kept, level="warning") == ["error 0", "error 1", "error 2"]
    assert events(kept, after=4) == ["debug 2", "error 2"]
    assert events(kept, limit=1) == ["error 2"]
    assert kept.newest == 6
    assert events(kept, after=kept.newest) == []


def test_the_oldest_go_first() -> None:
    kept = ring(max_lines=3)
    for number in range(10):
        log.info(str(number))
    assert events(kept) == ["7", "8", "9"]
    assert [line["id"] for line in kept.lines(0, "debug", 10)] == [8, 9, 10]


def test_the_bytes_are_bounded_too() -> None:
    kept = ring(max_bytes=5_000)
    for number in range(100):
        log.info(str(number), text="x" * 1_000)
    assert events(kept) == ["96", "97", "98", "99"]


def test_one_huge_line_is_shortened() -> None:
    kept = ring()
    log.error("한" * 10_000, payload="x" * 1_000_000)
    (line,) = kept.lines(0, "debug", 10)
    assert (line["level"], "payload" in line) == ("error", False)
    assert line["event"].startswith("한한")
    assert len(line["event"].encode()) < LogRing.MAX_LINE_BYTES
