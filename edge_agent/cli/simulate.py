"""`edge-agent simulate DRIVER`: a PLC to try things against. Its arguments are the simulator's own."""

import argparse
from typing import Final

from edge_agent.cli.context import Context
from edge_agent.contracts.exit_codes import ExitCode

NAME: Final = "simulate"
HELP: Final = "run a simulated PLC"
EXAMPLE: Final = "edge-agent simulate modbus --port 1502"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("driver", metavar="DRIVER", help="whose protocol it speaks, such as modbus")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="...", help="see `edge-agent simulate DRIVER --help`"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    from edge_agent.cli.parser import Parser

    simulator = context.app.simulator_command(args.driver)
    parser = Parser(prog=f"edge-agent simulate {args.driver}", description="Runs a simulated PLC.")
    simulator.add_arguments(parser)
    code = simulator.run(parser.parse_args(args.arguments))
    return ExitCode.GOOD if code is None else code
