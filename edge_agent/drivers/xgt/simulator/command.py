"""The command line of `edge-agent simulate xgt`."""

import argparse
from typing import Any

import orjson

from edge_agent.drivers.simulating.command import add_fault, add_running, run_simulator
from edge_agent.drivers.xgt.simulator.control import obey
from edge_agent.drivers.xgt.simulator.faults import Fault
from edge_agent.drivers.xgt.simulator.server import SERIES, Simulator, SimulatorConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0: any free one")
    parser.add_argument("--udp-port", type=int, default=0, help="UDP port; 0: any free one")
    parser.add_argument("--series", choices=tuple(SERIES), default="xgk", help="whose areas there are")
    parser.add_argument(
        "--bit-index", choices=("decimal", "hex"), help="how bits are named; default: as the series does"
    )
    parser.add_argument("--tick-ms", type=int, default=1000, help="time after which all values change")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="what the PLC takes for a request")
    add_fault(parser, '{"kind": "silence", "times": 3}')
    add_running(parser)


def run(args: argparse.Namespace) -> int:
    return run_simulator("xgt", _made, obey, _announcement, args)


def _made(args: argparse.Namespace) -> Simulator:
    if args.tick_ms <= 0 or args.latency_ms < 0:
        raise ValueError("a tick and a latency are times")
    config = SimulatorConfig(
        args.host, args.port, args.udp_port, args.series,
        None if args.bit_index is None else args.bit_index == "hex",
        args.tick_ms, args.latency_ms / 1000, args.writable,
    )  # fmt: skip
    simulator = Simulator(config)
    for text in args.fault:
        simulator.faults.add(Fault.of(orjson.loads(text)))
    return simulator


def _announcement(simulator: Simulator) -> tuple[dict[str, Any], str]:
    told = {"ports": [simulator.tcp_port], "udp_ports": [simulator.udp_port]}
    where = f"TCP {simulator.tcp_port} and UDP {simulator.udp_port}"
    return told, f"an XGT PLC on {simulator.config.host}, {where}"
