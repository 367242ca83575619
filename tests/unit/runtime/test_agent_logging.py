import io
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from edge_agent.runtime.logging import OutageLog, configure
from edge_agent.runtime.manual_clock import ManualClock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    names = ("pymodbus", "asyncua", "aiohttp.access", "snap7")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, least in levels.items():
        logging.getLogger(name).setLevel(least)
    structlog.reset_defaults()


def test_a_line_for_machines_is_one_json_object() -> None:
    stream = io.StringIO()
    configure("info", stream)
    log = structlog.stdlib.get_logger("edge_agent.pipeline")
    log.warning("connection lost", connection="프레스-1", reason="line\nbreak")
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert record.pop("time").endswith("Z")
    assert record == {
        "event": "connection lost",
        "level": "warning",
        "logger": "edge_agent.pipeline",
        "connection": "프레스-1",
        "reason": "line\nbreak",
    }
    assert "프레스" in line


def test_logs_of_libraries_take_the_same_form() -> None:
    stream = io.StringIO()
    configure("info", stream)
    logging.getLogger("some.library").warning("it took %d s", 3)
    record = json.loads(stream.getvalue())
    assert (record["event"], record["level"], record["logger"]) == ("it took 3 s", "warning", "some.library")


def test_libraries_that_log_every_attempt_are_silent_until_debug() -> None:
    stream = io.StringIO()
    configure("info", stream)
    logging.getLogger("pymodbus.logging").error("Connection to (192.0.2.10, 502) failed")
    assert stream.getvalue() == ""
    configure("debug", stream)
    logging.getLogger("pymodbus.logging").error("Connection to (192.0.2.10, 502) failed")
    assert "192.0.2.10" in stream.getvalue()


def test_what_is_below_the_level_is_not_logged() -> None:
    stream = io.StringIO()
    configure("warning", stream)
    structlog.stdlib.get_logger("x").info("no")
    logging.getLogger("y").info("no")
    assert stream.getvalue() == ""


def test_an_exception_stays_in_its_line() -> None:
    stream = io.StringIO()
    configure("info", stream)
    try:
        raise OSError("broken")
    except OSError:
        structlog.stdlib.get_logger("x").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "OSError: broken" in json.loads(line)["exception"]


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_gets_readable_lines(
    monkeypatch: pytest.MonkeyPatch, no_color: str, coloured: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    configure("info", stream)
    structlog.stdlib.get_logger("x").info("agent is ready", device="press-shop-01")
    assert "agent is ready" in stream.getvalue()
    assert "press-shop-01" in stream.getvalue()
    assert ("\x1b[" in stream.getvalue()) is coloured


def test_a_journal_that_only_reads_the_stream_is_told_the_priority(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        configure("info", stream, journal=tmp_path / "nobody")
        structlog.stdlib.get_logger("x").warning("careful")
        logging.getLogger("library").error("broken")
        stream.seek(0)
        first, second = stream.read().splitlines()
    assert first.startswith("<4>{")
    assert second.startswith("<3>{")
    assert json.loads(first[3:])["event"] == "careful"


def test_the_journal_gets_every_key_as_a_field(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (
        (tmp_path / "stream").open("w+") as stream,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald,
    ):
        journald.bind(str(tmp_path / "journald"))
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        configure("info", stream, journal=tmp_path / "journald")
        structlog.stdlib.get_logger("x").warning("link lost", connection="press1", unit=3, driver=None)
        logging.getLogger("library").error("broken")
        first, second = journald.recv(65_536), journald.recv(65_536)
        configure("info", stream, journal=tmp_path / "nobody")
        stream.seek(0)
        assert stream.read() == ""
    assert first.decode().splitlines() == [
        "MESSAGE=link lost connection=press1 unit=3",
        "PRIORITY=4",
        "SYSLOG_IDENTIFIER=edge-agent",
        "EVENT=link lost",
        "CONNECTION=press1",
        "UNIT=3",
        "LOGGER=x",
    ]
    assert b"MESSAGE=broken\nPRIORITY=3\n" in second


async def test_an_outage_is_one_line_down_and_one_line_back() -> None:
    clock = ManualClock()
    with structlog.testing.capture_logs() as lines:
        outages = OutageLog(structlog.get_logger(), clock)
        assert outages.down("press1", "connection lost", connection="press1")
        for _ in range(99):
            await clock.advance(1)
            assert not outages.down("press1", "connection lost", connection="press1")
        assert outages.is_down("press1")
        assert outages.back("press1", "connection is back", connection="press1")
        assert not outages.back("press1", "connection is back", connection="press1")
    assert lines == [
        {"event": "connection lost", "log_level": "warning", "connection": "press1"},
        {
            "event": "connection is back",
            "log_level": "info",
            "connection": "press1",
            "outage_seconds": 99.0,
            "failures": 100,
        },
    ]


def test_outages_of_different_keys_are_apart_and_can_be_forgotten() -> None:
    with structlog.testing.capture_logs() as lines:
        outages = OutageLog(structlog.get_logger(), ManualClock())
        outages.down(("press1", 1), "unit lost")
        outages.down(("press1", 2), "unit lost")
        outages.forget(("press1", 1))
        outages.back(("press1", 1), "unit is back")
    assert [line["event"] for line in lines] == ["unit lost", "unit lost"]
    assert not outages.is_down(("press1", 1))
    assert outages.is_down(("press1", 2))
