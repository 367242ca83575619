import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.wire.journal import Journal, encode, entry, field_name, message

WARNING = {"event": "link lost", "level": "warning"}


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "journald"))
        listening.settimeout(5)
        yield listening


@pytest.fixture
def journal(journald: socket.socket) -> Iterator[Journal]:
    journal = Journal("edge-agent", Path(journald.getsockname()))
    yield journal
    journal.close()


def test_a_value_with_a_line_break_goes_with_its_length() -> None:
    assert encode({"A": "x", "B": "y\nz"}) == b"A=x\nB\n\x03\0\0\0\0\0\0\0y\nz\n"


def test_no_value_can_add_a_field() -> None:
    datagram = encode(entry({"event": "x\nPRIORITY=0", "reason": "\nMESSAGE_ID=1"}, "edge-agent"))
    assert datagram.startswith(b"MESSAGE\n")
    assert datagram.count(b"PRIORITY=0") == 2  # within MESSAGE and EVENT, whose lengths are told
    assert b"EVENT\n\x0c\0\0\0\0\0\0\0x\nPRIORITY=0\n" in datagram


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("connection", "CONNECTION"),
        ("unit-id", "UNIT_ID"),
        ("message", "FIELD_MESSAGE"),
        ("_pid", "FIELD__PID"),
        ("1st", "FIELD_1ST"),
        ("프레스", "FIELD____"),
        ("", "FIELD_"),
        ("x" * 80, "X" * 64),
    ],
)
def test_names_are_ones_that_journald_accepts(key: str, name: str) -> None:
    assert field_name(key) == name


def test_the_message_is_the_whole_line_for_people() -> None:
    line = {
        **WARNING,
        "logger": "a.b",
        "connection": "press1",
        "reason": "timed out",
        "tries": 3,
        "why": None,
    }
    assert message(line) == 'link lost connection=press1 reason="timed out" tries=3'
    assert message({"event": "failed", "exception": "Traceback …\nOSError"}) == "failed\nTraceback …\nOSError"


def test_fields_are_those_of_the_line_and_its_priority() -> None:
    assert entry({**WARNING, "tries": 3, "time": "2026-01-01T00:00:00Z", "tags": ["a"]}, "edge-agent") == {
        "MESSAGE": 'link lost tries=3 tags="[\\"a\\"]"',
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "edge-agent",
        "EVENT": "link lost",
        "TRIES": "3",
        "TAGS": '["a"]',
    }


def test_what_is_too_large_for_a_datagram_goes_as_a_sealed_file(
    journal: Journal, journald: socket.socket
) -> None:
    lines = {f"key{number}": "x" * 60_000 for number in range(20)}
    assert journal.send({**WARNING, **lines})
    data, descriptors, _, _ = socket.recv_fds(journald, 16, 1)
    assert data == b""
    with os.fdopen(descriptors[0], "rb") as file:
        file.seek(0)
        content = file.read()
        with pytest.raises(OSError):
            os.ftruncate(file.fileno(), 0)
    assert content.endswith(b"KEY19=" + b"x" * 60_000 + b"\n")


def test_a_journald_that_does_not_read_stops_nobody_and_is_told_what_it_missed(
    journal: Journal, journald: socket.socket
) -> None:
    taken = 0
    while journal.send(WARNING):
        taken += 1
    assert taken > 0
    assert not journal.send(WARNING)
    journald.recv(65_536)
    assert journal.send(WARNING)
    for _ in range(taken - 1):
        assert b"LOST_LINES" not in journald.recv(65_536)
    assert b"LOST_LINES=2\n" in journald.recv(65_536)
    assert journal.send(WARNING)
    assert b"LOST_LINES" not in journald.recv(65_536)


def test_where_nobody_listens_or_the_stream_leads_elsewhere_there_is_no_journal(
    journald: socket.socket, tmp_path: Path
) -> None:
    with (tmp_path / "stream").open("w") as stream:
        status = os.fstat(stream.fileno())
        ours = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        there = Path(journald.getsockname())
        assert Journal.of_stream(stream, {}, "x", there) is None
        assert Journal.of_stream(sys.__stderr__ or stream, ours, "x", there) is None
        assert Journal.of_stream(stream, ours, "x", tmp_path / "nobody") is None
        journal = Journal.of_stream(stream, ours, "x", there)
        assert journal is not None
        journal.close()
