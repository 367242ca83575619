"""Log lines as systemd-journald takes them: its native protocol, so that every key is a field to search by.

Specification: https://systemd.io/JOURNAL_NATIVE_PROTOCOL. Of libraries, python-systemd has to be compiled
against systemd's headers, which a gateway does not have.

It is here because both programs log and this is the room that both may import. `Journal` is the one thing
here that does I/O.
"""

import array
import contextlib
import errno
import fcntl
import json
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self, TextIO

SOCKET: Final = Path("/run/systemd/journal/socket")
# syslog(3). structlog calls a logged exception by the method's name.
PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "exception": 3, "critical": 2}
MAX_VALUE_BYTES: Final = 64 << 10
_MAX_NAME: Final = 64
_NOT_IN_NAMES: Final = re.compile(r"[^A-Z0-9_]")
_OURS: Final = frozenset({"MESSAGE", "MESSAGE_ID", "PRIORITY", "EVENT", "SYSLOG_IDENTIFIER"})
# `time` is the journal's own; the others are in fields of other names, or in the message alone.
_NOT_FIELDS: Final = frozenset({"event", "level", "time", "timestamp", "exception"})
_NEEDS_QUOTES: Final = re.compile(r'[\s="]')
_TOO_LARGE: Final = frozenset({errno.EMSGSIZE, errno.ENOBUFS})
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def is_journal(stream: TextIO, name: str) -> bool:
    """Whether a stream is the one that systemd connected to the journal. name: $JOURNAL_STREAM,
    `device:inode`."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return name == f"{status.st_dev}:{status.st_ino}"


def entry(line: Mapping[str, Any], identifier: str) -> dict[str, str]:
    """The fields of a structured line, which has `event` and `level`.

    MESSAGE is the whole line for people, since journalctl shows nothing else: `link lost connection=press1`.
    EVENT is the line without its keys. Each key is a field in capitals.
    """
    fields = {
        "MESSAGE": message(line),
        "PRIORITY": str(PRIORITIES.get(str(line.get("level")), 6)),
        "SYSLOG_IDENTIFIER": identifier,
        "EVENT": str(line.get("event", "")),
    }
    for key, value in line.items():
        if key not in _NOT_FIELDS and value is not None:
            fields[field_name(key)] = _text(value)
    return fields


def message(line: Mapping[str, Any]) -> str:
    words = [str(line.get("event", ""))]
    for key, value in line.items():
        if key not in _NOT_FIELDS and key != "logger" and value is not None:
            text = _text(value)
            quoted = json.dumps(text, ensure_ascii=False) if _NEEDS_QUOTES.search(text) or not text else text
            words.append(f"{key}={quoted}")
    trace = line.get("exception")
    return " ".join(words) + (f"\n{trace}" if trace else "")


def field_name(key: str) -> str:
    """A name that journald accepts and that is none of its own: capitals, digits, `_`, at most 64."""
    name = _NOT_IN_NAMES.sub("_", key.upper())
    if not name or name in _OURS or name[0] not in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        name = f"FIELD_{name}"
    return name[:_MAX_NAME]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def encode(fields: Mapping[str, str]) -> bytes:
    """The datagram. A value with line breaks goes with its length, as 64 bits, little-endian."""
    parts: list[bytes] = []
    for name, text in fields.items():
        value = text.encode("utf-8", "replace")[:MAX_VALUE_BYTES]
        if b"\n" in value:
            parts.append(name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n")
        else:
            parts.append(name.encode() + b"=" + value + b"\n")
    return b"".join(parts)


class Journal:
    """Sends lines to journald without ever waiting for it, from any thread.

    What it does not take at once is lost and counted, and LOST_LINES of the next line says how many.
    """

    def __init__(self, identifier: str, path: Path = SOCKET) -> None:
        """Raises OSError where no journald listens."""
        self._identifier = identifier
        self._address = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._lost = 0
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
                probe.connect(self._address)
        except OSError:
            self.close()
            raise

    @classmethod
    def of_stream(
        cls, stream: TextIO, environ: Mapping[str, str], identifier: str, path: Path = SOCKET
    ) -> Self | None:
        """The journal that a stream leads to; None where it leads elsewhere or nobody listens."""
        if is_journal(stream, environ.get("JOURNAL_STREAM", "")):
            with contextlib.suppress(OSError):
                return cls(identifier, path)
        return None

    def close(self) -> None:
        self._socket.close()

    def send(self, line: Mapping[str, Any]) -> bool:
        """Whether journald has it. Never raises OSError."""
        fields = entry(line, self._identifier)
        if self._lost:
            fields["LOST_LINES"] = str(self._lost)
        try:
            self._transmit(encode(fields))
        except OSError:
            self._lost += 1
            return False
        self._lost = 0
        return True

    def _transmit(self, datagram: bytes) -> None:
        try:
            self._socket.sendto(datagram, self._address)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in _TOO_LARGE:
                raise
            self._transmit_sealed(datagram)

    def _transmit_sealed(self, datagram: bytes) -> None:
        """What is too large for a datagram goes as a file in memory that nobody can change any more."""
        descriptor = os.memfd_create("journal-entry", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            file.write(datagram)
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
            # socket.send_fds does not pass the address on in Python 3.11.
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()]))
            self._socket.sendmsg([], [rights], 0, self._address)
