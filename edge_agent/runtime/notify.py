"""sd_notify(3): tells systemd that the agent is ready, alive, or stopping. Silent outside systemd."""

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

_MAX_STATUS: Final = 500


class Notifier:
    """Sends datagrams to systemd's socket without ever blocking. Each call says whether it was sent.

    address: a path, or an abstract name with `@` in front; None or empty: every call does nothing.
    """

    def __init__(self, address: str | None) -> None:
        self._address = f"\0{address[1:]}" if address and address.startswith("@") else address or ""
        self._socket: socket.socket | None = None
        if self._address.startswith(("/", "\0")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Notifier":
        return cls(environ.get("NOTIFY_SOCKET"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self, status: str = "") -> bool:
        """The start, or a reload, is complete."""
        return self._send("READY=1", *([f"STATUS={_one_line(status)}"] if status else []))

    def reloading(self) -> bool:
        """A reload begins; `ready` ends it. For `Type=notify-reload`."""
        return self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1_000}")

    def stopping(self) -> bool:
        return self._send("STOPPING=1")

    def watchdog(self) -> bool:
        """The sign of life. Only to be given while the agent makes progress."""
        return self._send("WATCHDOG=1")

    def extend(self, seconds: float) -> bool:
        """The start takes longer: systemd waits for another `seconds` from now on."""
        return self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def status(self, text: str) -> bool:
        """The line that `systemctl status` shows."""
        return self._send(f"STATUS={_one_line(text)}")

    def _send(self, *lines: str) -> bool:
        if self._socket is None:
            return False
        # A full or vanished socket is systemd's affair: the watchdog judges by what arrives.
        with contextlib.suppress(OSError):
            self._socket.sendto("\n".join(lines).encode(), self._address)
            return True
        return False


def watchdog_seconds(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> float | None:
    """Time within which systemd wants a sign of life from this process; None where it wants none."""
    addressee = environ.get("WATCHDOG_PID")
    if addressee and addressee != str(os.getpid() if pid is None else pid):
        return None
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 else None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MAX_STATUS]
