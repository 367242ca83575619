"""An OPC UA server whose items all change at each tick, for the figure `opcua`.

`python -m bench.opcua_server --items 1000 --interval 0.1` prints its port as a JSON object and serves until
SIGTERM. The library's own server does not send 10,000 changes a second on half a core; this one does, as it
has no address space to keep.
"""

import argparse
import asyncio
import signal
from datetime import UTC, datetime

import orjson
import uvloop
from asyncua.ua.uatypes import Variant, VariantType

from tests.contract.opcua_server import OpcUaServer


def node(place: int) -> str:
    return f"ns=1;s=n{place}"


async def _serve(items: int, interval: float) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    values = {node(place): Variant(0.0, VariantType.Double) for place in range(items)}
    server = OpcUaServer(values, datetime.now(UTC))
    await server.start()
    print(orjson.dumps({"port": server.port}).decode(), flush=True)
    count, due = 0, loop.time()
    while not ended.is_set():
        count, due = count + 1, due + interval
        server.at, value = datetime.now(UTC), Variant(float(count), VariantType.Double)
        for held in server.subscriptions.values():
            held.waiting += [(handle, value) for handle in held.items]
        await asyncio.sleep(max(0.0, due - loop.time()))
    await server.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--interval", type=float, required=True)
    args = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(args.items, args.interval))


if __name__ == "__main__":
    main()
