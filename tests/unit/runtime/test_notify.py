import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.runtime.notify import Notifier, watchdog_seconds


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket such as systemd's, and the name under which it is announced."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.setblocking(False)
        if request.param == "path":
            name = str(tmp_path / "notify")
            receiver.bind(name)
        else:
            name = f"@holdfast-test-{os.getpid()}"
            receiver.bind(f"\0{name[1:]}")
        yield receiver, name


async def test_systemd_hears_each_message(systemd: tuple[socket.socket, str]) -> None:
    receiver, name = systemd
    with Notifier.from_environment({"NOTIFY_SOCKET": name}) as notifier:
        assert notifier.ready("polling 3\nconnections")
        assert receiver.recv(1_000) == b"READY=1\nSTATUS=polling 3 connections"
        assert notifier.watchdog()
        assert receiver.recv(1_000) == b"WATCHDOG=1"
        assert notifier.status("zwölf")
        assert receiver.recv(1_000) == "STATUS=zwölf".encode()
        assert notifier.reloading()
        assert receiver.recv(1_000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert notifier.stopping()
        assert receiver.recv(1_000) == b"STOPPING=1"


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234"])
def test_outside_of_systemd_nothing_is_sent(address: str | None) -> None:
    with Notifier(address) as notifier:
        assert not notifier.ready()
        assert not notifier.watchdog()


async def test_a_full_socket_does_not_block(systemd: tuple[socket.socket, str]) -> None:
    _, name = systemd
    with Notifier(name) as notifier:
        sent = [notifier.watchdog() for _ in range(5_000)]
    assert sent[0]
    assert not sent[-1]


def test_a_vanished_socket_is_no_error(tmp_path: Path) -> None:
    with Notifier(str(tmp_path / "gone")) as notifier:
        assert not notifier.ready()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "77"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "78"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdog_is_for_the_process_that_it_names(
    environ: dict[str, str], expected: float | None
) -> None:
    assert watchdog_seconds(environ, pid=77) == expected
