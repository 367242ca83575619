"""`edge-agent browse`: what a server offers, as a tag list that a config takes as it is."""

import argparse
import dataclasses
from typing import TYPE_CHECKING, Final

from edge_agent.cli import config_path
from edge_agent.cli.context import Context
from edge_agent.contracts.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_agent.contracts.driver import Browsed

NAME: Final = "browse"
HELP: Final = "print what a server offers as a list of tags: YAML, CSV or JSON"
EXAMPLE: Final = "edge-agent browse press1 --format csv"

_DEPTH: Final = 10
_PROGRESS_EVERY: Final = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    config_path.add_argument(parser)
    parser.add_argument("connection", metavar="CONNECTION", help="whose server is asked")
    parser.add_argument(
        "start",
        nargs="?",
        default="",
        metavar="START",
        help="address to begin at; default: all",
    )
    parser.add_argument(
        "--depth", type=_depth, default=_DEPTH, metavar="N", help=f"levels to go down; default: {_DEPTH}"
    )
    parser.add_argument(
        "--format", choices=("yaml", "csv", "json"), default="yaml",
        help="yaml: items of a group's tags. csv: a tag list to include. json: all of it, folders too",
    )  # fmt: skip
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="as --format json")


def _depth(text: str) -> int:
    depth = int(text)
    if not 1 <= depth <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to 100")
    return depth


def run(args: argparse.Namespace, context: Context) -> int:
    import asyncio

    loaded = context.app.load_config(config_path.existing(args.config, context.environ))
    found = asyncio.run(
        context.app.browse(loaded, args.connection, args.start, args.depth, _progress(context))
    )
    if args.format == "json":
        context.print_json([dataclasses.asdict(each) for each in found])
        return ExitCode.GOOD
    return _print_tags(found, args.format, context)


def _print_tags(found: "Sequence[Browsed]", form: str, context: Context) -> int:
    from edge_agent.config.written_tags import as_csv, as_yaml, named

    tags, left_out = named(found)
    for address in left_out:
        context.warn(f"left out: {address!r}: a config would read another address")
    if form == "csv":
        context.out.write(as_csv(tags))
    else:
        for line in as_yaml(tags):
            context.print(line)
    if not tags:
        context.warn(f"there is no tag among {len(found)} things: begin elsewhere, or go deeper (--depth)")
    return ExitCode.GOOD


def _progress(context: Context) -> "Callable[[int], None]":
    def tell(found: int) -> None:
        if found % _PROGRESS_EVERY == 0:
            context.warn(f"{found:,} found so far")

    return tell
