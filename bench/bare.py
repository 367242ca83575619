"""A server that reads nothing and answers the same to everything: the floor of what a request costs.

`python -m bench.bare` prints its port as a JSON object and serves until SIGTERM.
"""

import asyncio
import signal
from typing import Final, cast

import orjson
import uvloop

from central_sync.api.lane import BACKLOG

_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class _Bare(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is one without being its child.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, _: bytes) -> None:
        self._transport.write(_ANSWER)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    server = await loop.create_server(_Bare, "127.0.0.1", 0, backlog=BACKLOG)
    print(orjson.dumps({"port": server.sockets[0].getsockname()[1]}).decode(), flush=True)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
