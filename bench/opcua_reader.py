"""The bare client that stands beside the OPC UA driver: asyncua's own subscription to the same items, whose
changes are counted and thrown away.

`python -m bench.opcua_reader URL --items 1000 --interval 0.1 --seconds 10` prints one JSON object with its
own CPU time in windows.
"""

import argparse
import asyncio
import time
from typing import Any

import orjson
import uvloop
from asyncua.client.client import Client

from bench.figure import WINDOWS
from bench.opcua_server import node


class _Counter:
    """What asyncua calls a handler: one call for each change."""

    def __init__(self) -> None:
        self.changes = 0

    def datachange_notification(self, *_: Any) -> None:
        self.changes += 1


async def _run(args: argparse.Namespace) -> dict[str, list[float]]:
    counter = _Counter()
    found: dict[str, list[float]] = {"cpu": [], "changes": []}
    async with Client(args.url, timeout=30, watchdog_intervall=30) as client:
        nodes = [client.get_node(node(place)) for place in range(args.items)]
        subscription = await client.create_subscription(1000 * args.interval, counter)
        await subscription.subscribe_data_change(nodes, sampling_interval=1000 * args.interval, queuesize=10)
        await asyncio.sleep(1)
        for _ in range(WINDOWS):
            begin, cpu, changes = time.monotonic(), time.process_time(), counter.changes
            await asyncio.sleep(args.seconds / WINDOWS)
            took = time.monotonic() - begin
            found["cpu"].append(round(100 * (time.process_time() - cpu) / took, 2))
            found["changes"].append(round((counter.changes - changes) / took, 1))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--interval", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    args = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(orjson.dumps(runner.run(_run(args))).decode())


if __name__ == "__main__":
    main()
