"""The command line of `edge-agent simulate modbus`."""

import argparse
from pathlib import Path
from typing import Any

import orjson

from edge_agent.drivers.modbus.simulator.faults import Fault
from edge_agent.drivers.modbus.simulator.server import Simulator, SimulatorConfig
from edge_agent.drivers.modbus.simulator.signals import Kind, Signal
from edge_agent.drivers.simulating.command import add_fault, add_running, run_simulator
from edge_agent.drivers.simulating.control import switch


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
    add_fault(parser, '{"kind": "silence", "units": [3]}')
    add_running(parser)


def run(args: argparse.Namespace) -> int:
    return run_simulator("modbus", _made, _obey, _announcement, args)


def _made(args: argparse.Namespace) -> Simulator:
    signals: list[Any] = orjson.loads(args.signals.read_bytes()) if args.signals else []
    config = SimulatorConfig(
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
    simulator = Simulator(config)
    for text in args.fault:
        simulator.faults.add(Fault.of(orjson.loads(text)))
    return simulator


async def _obey(simulator: Simulator, order: Any) -> dict[str, Any]:
    return switch(simulator, Fault.of, order)


def _announcement(simulator: Simulator) -> tuple[dict[str, Any], str]:
    line = None if simulator.line is None else simulator.line.name
    told = {"ports": simulator.ports, "serial": line}
    return told, f"Modbus stations on {line or _ports_text(simulator)}"


def _ports_text(simulator: Simulator) -> str:
    first, last = simulator.ports[0], simulator.ports[-1]
    span = str(first) if first == last else f"{first} to {last} ({len(simulator.ports)} ports)"
    return f"{simulator.config.host}, {span}"
