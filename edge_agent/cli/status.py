"""`edge-agent status`: how the running agent is, on one screen."""

import argparse
from typing import Final

from edge_agent.cli import local
from edge_agent.cli.context import Context
from edge_agent.cli.text import Palette
from edge_agent.contracts.exit_codes import ExitCode

NAME: Final = "status"
HELP: Final = "show how the running agent is: what is wrong first, then connections, buffer and sinks"
EXAMPLE: Final = "edge-agent status --check"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    local.add_arguments(parser)
    parser.add_argument("--all", action="store_true", help="list every connection and unit")
    parser.add_argument("--check", action="store_true", help="exit with 1 if anything is wrong")
    parser.add_argument("--json", action="store_true", help="print the whole status as JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    from edge_agent.cli.status_text import render
    from edge_agent.runtime.health import findings

    status = local.client(args, context).status()
    if args.json:
        context.print_json(status)
    else:
        palette = Palette(context.colours)
        for line in render(status, context.wall_ms(), palette, everything=args.all):
            context.print(line)
    return ExitCode.FOUND if args.check and findings(status) else ExitCode.GOOD
