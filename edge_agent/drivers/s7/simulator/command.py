"""The command line of `edge-agent simulate s7`."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import orjson

from edge_agent.drivers.s7.simulator.control import serve_control
from edge_agent.drivers.s7.simulator.faults import Fault
from edge_agent.drivers.s7.simulator.memory import Fixed
from edge_agent.drivers.s7.simulator.server import Simulator, SimulatorConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="first port; 0: any free ones")
    parser.add_argument("--ports", type=int, default=1, help="number of ports, each a CPU of the same memory")
    parser.add_argument("--pdu", type=int, default=960, help="most bytes of a message that are granted")
    parser.add_argument("--jobs", type=int, default=4, help="most unanswered jobs that are granted")
    parser.add_argument(
        "--db", action="append", default=[], metavar="N:BYTES", help="a data block that exists; default: all"
    )
    parser.add_argument(
        "--tsap", action="append", default=[], metavar="HEX", help="remote TSAP that is let in; default: all"
    )
    parser.add_argument("--writable", action="store_true", help="take writes; default: refuse and count them")
    parser.add_argument("--tick-ms", type=int, default=1000, help="time after which all values change")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="what the CPU takes for a request")
    parser.add_argument("--values", type=Path, help="JSON file: a list of bytes that do not move")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="JSON",
        help='such as {"kind": "error", "code": 33028}: PUT/GET is off',
    )  # fmt: skip
    parser.add_argument("--control", type=int, metavar="PORT", help="take orders as JSON lines; 0: any port")
    parser.add_argument("--json", action="store_true", help="print the ports as JSON when ready")


def run(args: argparse.Namespace) -> int:
    """Runs until SIGINT or SIGTERM. Exit codes: 0 stopped, 2 wrong use, 3 a port is taken."""
    try:
        config = _config(args)
        faults = [Fault.of(orjson.loads(text)) for text in args.fault]
    except (ValueError, TypeError, KeyError, OSError) as error:
        print(f"simulate s7: {error}", file=sys.stderr)
        return 2
    try:
        asyncio.run(_serve(config, faults, args.control, as_json=args.json))
    except OSError as error:
        print(f"simulate s7: cannot listen: {error.strerror or error}", file=sys.stderr)
        return 3
    return 0


def _config(args: argparse.Namespace) -> SimulatorConfig:
    values: list[Any] = orjson.loads(args.values.read_bytes()) if args.values else []
    blocks = {int(number): int(size) for number, size in (text.split(":") for text in args.db)}
    return SimulatorConfig(
        host=args.host,
        ports=args.ports,
        first_port=args.port,
        pdu=args.pdu,
        jobs=args.jobs,
        writable=args.writable,
        blocks=blocks or None,
        tsaps=frozenset(bytes.fromhex(text.replace(".", "")) for text in args.tsap),
        tick_ms=args.tick_ms,
        latency_seconds=args.latency_ms / 1000,
        fixed=tuple(map(Fixed.of, values)),
    )


async def _serve(
    config: SimulatorConfig, faults: list[Fault], control_port: int | None, *, as_json: bool
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Simulator(config) as simulator:
        for fault in faults:
            simulator.faults.add(fault)
        control = None if control_port is None else await serve_control(simulator, control_port)
        _announce(simulator, control, as_json=as_json)
        await stop.wait()
        if control is not None:
            control.close()


def _announce(simulator: Simulator, control: asyncio.Server | None, *, as_json: bool) -> None:
    port = None if control is None else control.sockets[0].getsockname()[1]
    if as_json:
        text = orjson.dumps({"ports": simulator.ports, "control": port}).decode()
    else:
        ports = ", ".join(map(str, simulator.ports))
        text = f"S7 CPU on {simulator.config.host}, port {ports}; stop with Ctrl-C"
        if port is not None:
            text += f"; control on 127.0.0.1:{port}"
    print(text, flush=True)
