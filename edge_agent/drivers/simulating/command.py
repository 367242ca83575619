"""A simulator as a program: `edge-agent simulate …` until SIGINT or SIGTERM."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol, Self, TypeVar

import orjson

from edge_agent.drivers.simulating.control import serve_control


class Simulator(Protocol):
    """Started and stopped as a context; starting raises OSError where a port is taken."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *_: object) -> None: ...


Made = TypeVar("Made", bound=Simulator)


def add_running(parser: argparse.ArgumentParser) -> None:
    """The arguments that all simulators have behind their own."""
    parser.add_argument("--writable", action="store_true", help="take writes; default: refuse and count them")
    parser.add_argument("--control", type=int, metavar="PORT", help="take orders as JSON lines; 0: any port")
    parser.add_argument("--json", action="store_true", help="print the ports as JSON when ready")


def add_fault(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument(
        "--fault", action="append", default=[], metavar="JSON", help=f"such as {example}"
    )  # fmt: skip


def run_simulator(
    name: str,
    made: Callable[[argparse.Namespace], Made],
    obey: Callable[[Made, Any], Awaitable[dict[str, Any]]],
    announcement: Callable[[Made], tuple[dict[str, Any], str]],
    args: argparse.Namespace,
) -> int:
    """Exit codes: 0 stopped, 2 wrong use, 3 a port is taken.

    made: the simulator, not started; raises ValueError, TypeError, KeyError or OSError. announcement: what
    is told once it listens, as JSON and for people.
    """
    try:
        simulator = made(args)
    except (ValueError, TypeError, KeyError, OSError) as error:
        print(f"simulate {name}: {error}", file=sys.stderr)
        return 2
    try:
        asyncio.run(_serve(simulator, obey, announcement, args.control, as_json=args.json))
    except OSError as error:
        print(f"simulate {name}: cannot listen: {error.strerror or error}", file=sys.stderr)
        return 3
    return 0


async def _serve(
    simulator: Made,
    obey: Callable[[Made, Any], Awaitable[dict[str, Any]]],
    announcement: Callable[[Made], tuple[dict[str, Any], str]],
    control_port: int | None,
    *,
    as_json: bool,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with simulator:
        control = (
            None if control_port is None else await serve_control(partial(obey, simulator), control_port)
        )
        port = None if control is None else control.sockets[0].getsockname()[1]
        told, text = announcement(simulator)
        if as_json:
            print(orjson.dumps(told | {"control": port}).decode(), flush=True)
        else:
            text += "; stop with Ctrl-C"
            print(text if port is None else f"{text}; control on 127.0.0.1:{port}", flush=True)
        await stop.wait()
        if control is not None:
            control.close()
