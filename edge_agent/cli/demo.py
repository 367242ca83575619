"""`edge-agent demo`: simulated PLCs, a centre and an agent, on this machine alone."""

import argparse
from typing import Final

from edge_agent.cli.context import Context, UsageError

NAME: Final = "demo"
HELP: Final = "run simulated PLCs, a centre and an agent together, to look at"
EXAMPLE: Final = "edge-agent demo --for 30s"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--for", dest="duration", metavar="DURATION", help="end after this time (30s) with a verdict"
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    seconds = None if args.duration is None else _seconds(args.duration)
    return context.run_demo(seconds, args.json)


def _seconds(text: str) -> float:
    from edge_agent.config.units import parse_duration

    try:
        return float(parse_duration(text))
    except ValueError as error:
        raise UsageError(f"--for {error}") from error
