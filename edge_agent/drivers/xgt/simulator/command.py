"""The command line of `edge-agent simulate xgt`."""

import argparse
import asyncio
import signal
import sys

import orjson

from edge_agent.drivers.xgt.simulator.control import serve_control
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
    parser.add_argument(
        "--fault", action="append", default=[], metavar="JSON", help='such as {"kind": "silence", "times": 3}'
    )
    parser.add_argument("--writable", action="store_true", help="take writes; default: they are refused")
    parser.add_argument("--control", type=int, metavar="PORT", help="take orders as JSON lines; 0: any port")
    parser.add_argument("--json", action="store_true", help="print the ports as JSON when ready")


def run(args: argparse.Namespace) -> int:
    """Runs until SIGINT or SIGTERM. Exit codes: 0 stopped, 2 wrong use, 3 a port is taken."""
    try:
        faults = [Fault.of(orjson.loads(text)) for text in args.fault]
        if args.tick_ms <= 0 or args.latency_ms < 0:
            raise ValueError("a tick and a latency are times")
    except (ValueError, TypeError, KeyError) as error:
        print(f"simulate xgt: {error}", file=sys.stderr)
        return 2
    config = SimulatorConfig(
        args.host, args.port, args.udp_port, args.series,
        None if args.bit_index is None else args.bit_index == "hex",
        args.tick_ms, args.latency_ms / 1000, args.writable,
    )  # fmt: skip
    try:
        asyncio.run(_serve(config, faults, args.control, as_json=args.json))
    except OSError as error:
        print(f"simulate xgt: cannot listen: {error.strerror or error}", file=sys.stderr)
        return 3
    return 0


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
        told = {"ports": [simulator.tcp_port], "udp_ports": [simulator.udp_port], "control": port}
        print(orjson.dumps(told).decode(), flush=True)
        return
    text = (
        f"an XGT PLC on {simulator.config.host}, TCP {simulator.tcp_port} and UDP {simulator.udp_port}; "
        "stop with Ctrl-C"
    )
    print(text if port is None else f"{text}; control on 127.0.0.1:{port}", flush=True)
