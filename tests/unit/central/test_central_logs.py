import io
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from aiohttp.http_exceptions import BadHttpMessage

from central_sync import logs


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_is_one_json_object() -> None:
    stream = io.StringIO()
    logs.set_up("info", stream, {})
    structlog.get_logger().warning("device is silent", device="press-1")
    structlog.get_logger().debug("no")
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert (record["event"], record["level"], record["device"]) == ("device is silent", "warning", "press-1")


def test_the_journal_gets_every_key_as_a_field(tmp_path: Path) -> None:
    with (
        (tmp_path / "stream").open("w+") as stream,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald,
    ):
        journald.bind(str(tmp_path / "journald"))
        status = os.fstat(stream.fileno())
        environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        logs.set_up("info", stream, environ, tmp_path / "journald")
        structlog.get_logger().warning("device is silent", device="press-1")
        logging.getLogger("aiohttp").error("broken %d", 3)
        first, second = journald.recv(65_536), journald.recv(65_536)
        stream.seek(0)
        assert stream.read() == ""
    assert first.decode().splitlines() == [
        "MESSAGE=device is silent device=press-1",
        "PRIORITY=4",
        "SYSLOG_IDENTIFIER=central-sync",
        "EVENT=device is silent",
        "DEVICE=press-1",
    ]
    assert b"MESSAGE=broken 3\nPRIORITY=3\n" in second
    assert b"LOGGER=aiohttp\n" in second


def test_what_is_no_request_is_told_without_its_bytes_and_not_each_time() -> None:
    """aiohttp wrote a traceback with the line that it did not understand: a password could be in it."""
    stream = io.StringIO()
    logs.set_up("info", stream, {})
    server = logging.getLogger("aiohttp.server")
    for _ in range(50):
        try:
            raise BadHttpMessage("Invalid header value char: b'Authorization: Bearer hf_secret'")
        except BadHttpMessage:
            server.error("Error handling request from %s", "203.0.113.9", exc_info=sys.exc_info())
    said = stream.getvalue()
    assert "203.0.113.9: what came is no HTTP request (BadHttpMessage)" in said
    assert "hf_secret" not in said
    assert len(said.splitlines()) <= 2
    try:
        raise RuntimeError("a mistake of ours")
    except RuntimeError:
        server.error("Error handling request", exc_info=sys.exc_info())
    assert "RuntimeError: a mistake of ours" in stream.getvalue()
