"""A worker that is not one: it says hello, and then answers as its first argument says. Standard library
only, since a worker under `python -I` has no path to the tests."""

import array
import json
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable

HEAD = struct.Struct("!II")


def read_exactly(size: int) -> bytes:
    got = b""
    while len(got) < size:
        part = os.read(0, size - len(got))
        if not part:
            os._exit(0)
        got += part
    return got


def request() -> tuple[int, bytes]:
    length, number = HEAD.unpack(read_exactly(HEAD.size))
    return number, read_exactly(length)


def message(number: int, head: object, blob: bytes = b"", text: bytes | None = None) -> bytes:
    text = json.dumps(head).encode() if text is None else text
    return HEAD.pack(4 + len(text) + len(blob), number) + struct.pack("!I", len(text)) + text + blob


def tell(data: bytes) -> None:
    while data:
        data = data[os.write(0, data) :]


def echo(number: int, body: bytes) -> None:
    size = int.from_bytes(body[:4], "big")
    tell(message(number, {"head": json.loads(body[4 : 4 + size])}, body[4 + size :]))


def split(number: int, body: bytes) -> None:
    for byte in message(number, {"ok": True}, b"rows"):
        tell(bytes([byte]))


def forever(number: int, body: bytes) -> None:
    while True:
        time.sleep(60)


def drip(number: int, body: bytes) -> None:
    tell(HEAD.pack(1000, number))
    while True:
        tell(b"\0")
        time.sleep(0.001)


def late(number: int, body: bytes) -> None:
    tell(message(number, {"ok": True}) + b"")
    if number == 1:
        tell(message(number, {"ok": "again"}))


def nobody_asked(number: int, body: bytes) -> None:
    tell(message(number, {"ok": True}))
    time.sleep(0.05)
    tell(message(number + 1, {"ok": "foreseen"}))
    forever(number, body)


def with_descriptors(number: int, body: bytes) -> None:
    own = [os.open("/dev/null", os.O_RDONLY) for _ in range(200)]
    with socket.socket(fileno=os.dup(0)) as channel:
        for _ in range(20):
            channel.sendmsg(
                [b"\0" if number else b""],
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", own))],
            )
    forever(number, body)


def killed_by(number: int, body: bytes) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def closes_and_lives(number: int, body: bytes) -> None:
    os.close(0)
    forever(number, body)


def deaf(number: int, body: bytes) -> None:
    raise AssertionError("main reads nothing then")


def raw(data: Callable[[int], bytes]) -> Callable[[int, bytes], None]:
    def answer(number: int, body: bytes) -> None:
        tell(data(number))
        forever(number, body)

    return answer


BEHAVIOURS: dict[str, Callable[[int, bytes], None]] = {
    "echo": echo,
    "split": split,
    "hang": forever,
    "drip": drip,
    "twice": late,
    "nobody_asked": nobody_asked,
    "with_descriptors": with_descriptors,
    "killed_by": killed_by,
    "exit": lambda number, body: os._exit(7),
    "closes_and_lives": closes_and_lives,
    "deaf": deaf,
    "other_request": raw(lambda number: message(number + 1, {"ok": True})),
    "earlier_request": raw(lambda number: message(number - 1, {"ok": True})),
    "huge_length": raw(lambda number: HEAD.pack(0xFFFF_FFFF, number)),
    "too_long": raw(lambda number: message(number, {"ok": True}, bytes(2 << 20))),
    "no_head": raw(lambda number: HEAD.pack(2, number) + b"{}"),
    "long_head": raw(lambda number: HEAD.pack(6, number) + struct.pack("!I", 0xFFFF_FFFF) + b"{}"),
    "long_text": raw(lambda number: message(number, None, text=b'"' + b"x" * (1 << 20) + b'"')),
    "no_json": raw(lambda number: message(number, None, text=b"{]")),
    "no_text": raw(lambda number: message(number, None, text=b"\xff\xfe")),
    "not_a_number": raw(lambda number: message(number, None, text=b'{"x": NaN}')),
    "infinite": raw(lambda number: message(number, None, text=b"[-Infinity]")),
    "deep": raw(lambda number: message(number, None, text=b"[" * 400_000)),
    "deep_and_closed": raw(lambda number: message(number, None, text=b"[" * 200_000 + b"]" * 200_000)),
    "many_lists": raw(lambda number: message(number, {"ok": True, "more": [[]] * 40_000})),
    "many_numbers": raw(lambda number: message(number, {"ok": True, "more": [0] * 200_000})),
    "long_number": raw(lambda number: message(number, None, text=b"1" * 100_000)),
}


def main() -> None:
    behaviour = sys.argv[1]
    if behaviour == "no_hello":
        sys.exit("nothing works here")
    if behaviour == "mute":
        forever(0, b"")
    if behaviour == "hello_without_layers":
        tell(message(0, {"layers": None}))
        forever(0, b"")
    tell(message(0, {"layers": {"seccomp": "on", "landlock": "no" * 1_000, "other": "on"}}))
    while behaviour == "deaf":
        time.sleep(60)
    while True:
        BEHAVIOURS[behaviour](*request())


if __name__ == "__main__":
    main()
