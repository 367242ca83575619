"""The bare reader that stands beside the XGT driver: reads the same blocks, at the same rhythm, and throws
them away. Nothing is checked, decoded, stored or sent: less than this no asyncio program can do.

`python -m bench.xgt_reader PORT --words 10000 --connections 10 --interval 1 --seconds 10` prints one JSON
object with its own CPU time in windows. The frames are built here, without the driver.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from typing import Final, cast

import orjson

from bench.figure import WINDOWS

_MOST_BYTES: Final = 1400
_REPLY_HEAD: Final = 32  # header, command, type, reserved, error, blocks, size


def requests_of(words: int) -> list[tuple[bytes, int]]:
    """The requests of one cycle over D, with the sizes of their replies."""
    found = []
    for start in range(0, 2 * words, _MOST_BYTES):
        count = min(_MOST_BYTES, 2 * words - start)
        name = f"%DB{start}".encode()
        body = b"\x54\0\x14\0\0\0\1\0" + len(name).to_bytes(2, "little") + name + count.to_bytes(2, "little")
        header = b"LSIS-XGT\0\0\0\0\xa0\x33\1\0" + len(body).to_bytes(2, "little") + b"\0\0"
        found.append((header + body, _REPLY_HEAD + count))
    return found


class Line(asyncio.Protocol):
    """One connection; `cycle` begins one pass over all words."""

    def __init__(self, requests: Sequence[tuple[bytes, int]]) -> None:
        self.replies = 0
        self._requests = requests
        self._next = len(requests)
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def cycle(self) -> None:
        if self._next >= len(self._requests):  # else the last cycle has not ended: leave this one out
            self._next = 0
            self._ask()

    def _ask(self) -> None:
        request, self._left = self._requests[self._next]
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left <= 0:
            self.replies += 1
            self._next += 1
            if self._next < len(self._requests):
                self._ask()


async def _run(args: argparse.Namespace) -> list[tuple[float, float]]:
    loop = asyncio.get_running_loop()
    requests = requests_of(args.words)
    lines = [
        (await loop.create_connection(lambda: Line(requests), "127.0.0.1", args.port))[1]
        for _ in range(args.connections)
    ]

    def cycle(line: Line, due: float) -> None:
        loop.call_at(due + args.interval, cycle, line, due + args.interval)
        line.cycle()

    now = loop.time()
    for index, line in enumerate(lines):
        due = now + args.interval * index / len(lines)
        loop.call_at(due, cycle, line, due)
    return await _measure(lines, args.seconds)


async def _measure(lines: Sequence[Line], seconds: float) -> list[tuple[float, float]]:
    """(CPU in per cent of a core, replies a second) of each window, after a second to warm up."""
    await asyncio.sleep(1)
    found = []
    for _ in range(WINDOWS):
        begin, cpu, replies = time.monotonic(), time.process_time(), sum(line.replies for line in lines)
        await asyncio.sleep(seconds / WINDOWS)
        took = time.monotonic() - begin
        spent = time.process_time() - cpu
        found.append((100 * spent / took, (sum(line.replies for line in lines) - replies) / took))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--words", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--interval", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    args = parser.parse_args()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        windows = runner.run(_run(args))
    found = {"cpu": [cpu for cpu, _ in windows], "replies": [replies for _, replies in windows]}
    print(orjson.dumps(found).decode())


def _loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    try:
        import uvloop
    except ImportError:
        return None
    return cast("type[asyncio.AbstractEventLoop]", uvloop.new_event_loop)


if __name__ == "__main__":
    main()
