"""sd_notify(3) for the centre: ready, alive, stopping. Silent outside systemd, and never blocking.

The agent has one of its own: of `edge_agent` the centre knows the wire alone.
"""

import contextlib
import os
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

_MAX_STATUS: Final = 500


class Notifier:
    """`address`: a path, or an abstract name with `@` in front; empty: every call does nothing."""

    def __init__(self, address: str) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if self._address.startswith(("/", "\0")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Notifier":
        return cls(environ.get("NOTIFY_SOCKET", ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self, status: str) -> None:
        self._send("READY=1", _status(status))

    def stopping(self) -> None:
        self._send("STOPPING=1", _status("stopping"))

    def watchdog(self) -> None:
        """The sign of life. Only to be given while the centre makes progress."""
        self._send("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """The start takes longer: systemd waits for another `seconds` from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def status(self, text: str) -> None:
        """The line that `systemctl status` shows."""
        self._send(_status(text))

    def _send(self, *lines: str) -> None:
        if self._socket is not None:
            # A full or vanished socket is systemd's affair: the watchdog judges by what arrives.
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(), self._address)


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """Time within which systemd wants a sign of life from this process; None where it wants none."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdecimal() and int(text) else None


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())[:_MAX_STATUS]}"
