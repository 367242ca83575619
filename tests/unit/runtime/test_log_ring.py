import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
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


@dataclass
class Place:
    number: int
    word: str = field(repr=False)


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


def test_what_json_has_no_word_for_is_shown_all_the_same() -> None:
    kept = ring()
    log.info("odd", nan=math.nan, broken="\ud800", place=Place(1, "hidden"))
    log.info("number", nan=math.nan, far=math.inf, big=1, place=Place(1, "hidden"))
    log.info("huge", big=1 << 70)
    odd, number, huge = kept.lines(0, "debug", 10)
    assert (odd["nan"], odd["broken"]) == ("nan", "?")
    assert (number["nan"], number["far"], number["big"]) == (None, None, 1)
    assert number["place"] == odd["place"]
    assert "hidden" not in number["place"]
    assert huge["big"] == str(1 << 70)


def test_a_huge_line_with_odd_fields_is_shortened_and_stops_nobody() -> None:
    kept = ring()
    log.error("x" * 10_000, nan=math.nan)
    assert [line["level"] for line in kept.lines(0, "debug", 10)] == ["error"]


def test_a_huge_line_that_is_no_json_stops_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    kept = LogRing()
    kept.handle(logging.LogRecord("test", logging.INFO, "", 0, "no JSON" * 10_000, None, None))
    assert kept.lines(0, "debug", 10) == []
    assert "JSONDecodeError" in capsys.readouterr().err


def test_no_lines_wanted_is_none() -> None:
    kept = ring()
    log.info("one")
    assert events(kept, limit=0) == []
