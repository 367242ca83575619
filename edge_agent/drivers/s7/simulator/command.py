"""The command line of `edge-agent simulate s7`."""

import argparse
from pathlib import Path
from typing import Any

import orjson

from edge_agent.drivers.s7.simulator.control import obey
from edge_agent.drivers.s7.simulator.faults import Fault
from edge_agent.drivers.s7.simulator.memory import Fixed
from edge_agent.drivers.s7.simulator.server import Simulator, SimulatorConfig
from edge_agent.drivers.simulating.command import add_fault, add_running, run_simulator


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
    parser.add_argument("--tick-ms", type=int, default=1000, help="time after which all values change")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="what the CPU takes for a request")
    parser.add_argument("--values", type=Path, help="JSON file: a list of bytes that do not move")
    add_fault(parser, '{"kind": "error", "code": 33028}: PUT/GET is off')
    add_running(parser)


def run(args: argparse.Namespace) -> int:
    return run_simulator("s7", _made, obey, _announcement, args)


def _made(args: argparse.Namespace) -> Simulator:
    values: list[Any] = orjson.loads(args.values.read_bytes()) if args.values else []
    blocks = {int(number): int(size) for number, size in (text.split(":") for text in args.db)}
    config = SimulatorConfig(
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
    simulator = Simulator(config)
    for text in args.fault:
        simulator.faults.add(Fault.of(orjson.loads(text)))
    return simulator


def _announcement(simulator: Simulator) -> tuple[dict[str, Any], str]:
    ports = ", ".join(map(str, simulator.ports))
    return {"ports": simulator.ports}, f"S7 CPU on {simulator.config.host}, port {ports}"
