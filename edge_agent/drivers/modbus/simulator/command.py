"""The command line of `edge-agent simulate modbus`."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import orjson

from edge_agent.drivers.modbus.simulator.control import serve_control
from edge_agent.drivers.modbus.simulator.faults import Fault
from edge_agent.drivers.modbus.simulator.server import Simulator, SimulatorConfig
from edge_agent.drivers.modbus.simulator.signals import Kind, Signal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="first port; 0: any free ones")
    parser.add_argument("--ports", type=int, default=1, help="number of ports, each a gateway of its own")
    parser.add_argument("--framing", choices=("tcp", "rtu_over_tcp", "udp"), default="tcp")
    parser.add_argument(
        "--serial", nargs="?", const="", metavar="PATH",
        help="RTU on a serial port, or on a new pseudo-terminal (of the name PATH), instead of the network",
    )  # fmt: skip
    parser.add_argument("--units", default="", help="stations that exist, such as 1,2,7; default: all")
    parser.add_argument("--tick-ms", type=int, default=1000, help="time after which all values change")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="what a station takes for a request")
    parser.add_argument("--signals", type=Path, help="JSON file: a list of signals for certain addresses")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="JSON",
        help='such as {"kind": "silence", "units": [3]}',
    )
    parser.add_argument("--writable", action="store_true", help="take writes; default: they are refused")
    parser.add_argument("--control", type=int, metavar="PORT", help="take orders as JSON lines; 0: any port")
    parser.add_argument("--json", action="store_true", help="print the ports as JSON when ready")


def run(args: argparse.Namespace) -> int:
    """Runs until SIGINT or SIGTERM. Exit codes: 0 stopped, 2 wrong use, 3 a port is taken."""
    try:
        config = _config(args)
        faults = [Fault.of(orjson.loads(text)) for text in args.fault]
    except (ValueError, TypeError, KeyError, OSError) as error:
        print(f"simulate modbus: {error}", file=sys.stderr)
        return 2
    try:
        asyncio.run(_serve(config, faults, args.control, as_json=args.json))
    except OSError as error:
        print(f"simulate modbus: cannot listen: {error.strerror or error}", file=sys.stderr)
        return 3
    return 0


def _config(args: argparse.Namespace) -> SimulatorConfig:
    signals: list[Any] = orjson.loads(args.signals.read_bytes()) if args.signals else []
    return SimulatorConfig(
        host=args.host,
        ports=args.ports,
        first_port=args.port,
        framing=args.framing if args.serial is None else "serial",
        serial=args.serial or "",
        units=frozenset(int(unit) for unit in args.units.split(",") if unit),
        tick_ms=args.tick_ms,
        latency_seconds=args.latency_ms / 1000,
        writable=args.writable,
        signals=tuple(
            Signal(**{**values, "kind": Kind(values.get("kind", "default")), "tick_ms": args.tick_ms})
            for values in signals
        ),
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
    line = None if simulator.line is None else simulator.line.name
    if as_json:
        text = orjson.dumps({"ports": simulator.ports, "control": port, "serial": line}).decode()
    else:
        text = f"Modbus stations on {line or _ports_text(simulator)}; stop with Ctrl-C"
        if port is not None:
            text += f"; control on 127.0.0.1:{port}"
    print(text, flush=True)


def _ports_text(simulator: Simulator) -> str:
    first, last = simulator.ports[0], simulator.ports[-1]
    span = str(first) if first == last else f"{first} to {last} ({len(simulator.ports)} ports)"
    return f"{simulator.config.host}, {span}"
