"""The bare reader that stands beside the agent: reads the same registers, at the same rhythm, and throws
them away. Nothing is checked, decoded, stored or sent: less than this no asyncio program can do.

`python -m bench.reader --registers 1000 --interval 1 --seconds 10 PORT…` prints one JSON object with its
own CPU time in windows. One request in flight on each connection, 125 registers each, phases spread, and
the event loop that the agent runs on. --streams reads with asyncio's StreamReader instead of a Protocol.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from typing import Final, cast

import orjson

from bench.figure import WINDOWS

_BLOCK: Final = 125
_HEAD: Final = 9  # MBAP header, function code, byte count


def requests_of(registers: int) -> list[tuple[bytes, int]]:
    """The requests of one cycle, with the sizes of their replies."""
    found = []
    for start in range(0, registers, _BLOCK):
        count = min(_BLOCK, registers - start)
        request = b"\0\1\0\0\0\6\1\3" + start.to_bytes(2, "big") + count.to_bytes(2, "big")
        found.append((request, _HEAD + 2 * count))
    return found


class Protocol(asyncio.Protocol):
    """One connection; `cycle` begins one pass over all registers."""

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


class Streams:
    """The same, as most people would write it."""

    def __init__(
        self,
        requests: Sequence[tuple[bytes, int]],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.replies = 0
        self._requests = requests
        self._reader = reader
        self._writer = writer

    async def read(self) -> None:
        for request, size in self._requests:
            self._writer.write(request)
            await self._reader.readexactly(_HEAD)
            await self._reader.readexactly(size - _HEAD)
            self.replies += 1


async def _run_protocol(
    requests: Sequence[tuple[bytes, int]], ports: Sequence[int], interval: float
) -> list[Protocol]:
    loop = asyncio.get_running_loop()
    lines = []
    for port in ports:
        _, protocol = await loop.create_connection(lambda: Protocol(requests), "127.0.0.1", port)
        lines.append(protocol)

    def cycle(protocol: Protocol, due: float) -> None:
        loop.call_at(due + interval, cycle, protocol, due + interval)
        protocol.cycle()

    now = loop.time()
    for index, protocol in enumerate(lines):
        due = now + interval * index / len(lines)
        loop.call_at(due, cycle, protocol, due)
    return lines


async def _run_streams(
    group: asyncio.TaskGroup, requests: Sequence[tuple[bytes, int]], ports: Sequence[int], interval: float
) -> list[Streams]:
    loop = asyncio.get_running_loop()

    async def poll(line: Streams, due: float) -> None:
        while True:
            await asyncio.sleep(due - loop.time())
            await line.read()
            due += interval

    lines = [Streams(requests, *await asyncio.open_connection("127.0.0.1", port)) for port in ports]
    now = loop.time()
    for index, line in enumerate(lines):
        group.create_task(poll(line, now + interval * index / len(lines)))
    return lines


async def _measure(lines: Sequence[Protocol | Streams], seconds: float) -> list[tuple[float, float]]:
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


class _Measured(Exception):
    """Ends the polls."""


async def _main(args: argparse.Namespace) -> list[tuple[float, float]]:
    requests = requests_of(args.registers)
    if not args.streams:
        return await _measure(await _run_protocol(requests, args.ports, args.interval), args.seconds)
    found: list[tuple[float, float]] = []
    try:
        async with asyncio.TaskGroup() as group:
            lines = await _run_streams(group, requests, args.ports, args.interval)
            found = await _measure(lines, args.seconds)
            raise _Measured
    except* _Measured:
        pass
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--registers", type=int, required=True)
    parser.add_argument("--interval", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--streams", action="store_true")
    parser.add_argument("ports", type=int, nargs="+")
    args = parser.parse_args()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        windows = runner.run(_main(args))
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
