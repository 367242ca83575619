"""The limit of the centre's ingest: an aiohttp server that reads the bodies of POSTs and does nothing else.

`python -m bench.sink` prints `{"url": …}` when it listens on a free port of loopback.
"""

import asyncio
import sys
from typing import cast

import orjson
from aiohttp import web

_LARGEST_BODY = 64 << 20


async def _read(request: web.Request) -> web.Response:
    await request.read()
    return web.json_response({"acked": True})


async def _serve() -> None:
    application = web.Application(client_max_size=_LARGEST_BODY)
    application.router.add_post("/{path:.*}", _read)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    sys.stdout.write(orjson.dumps({"url": f"http://{host}:{port}"}).decode() + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def _loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    """The centre's loop."""
    try:
        import uvloop
    except ImportError:
        return None
    return cast("type[asyncio.AbstractEventLoop]", uvloop.new_event_loop)


def main() -> None:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve())


if __name__ == "__main__":
    main()
