"""`edge-agent read`: every tag once, straight from the PLC."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from edge_agent.cli import config_path, figures
from edge_agent.cli.context import Context, ExitCode
from edge_agent.cli.text import Cell, Palette, Styled, printable, shortened, table

if TYPE_CHECKING:
    from edge_agent.contracts.status import LatestValue

NAME: Final = "read"
HELP: Final = "read every tag once from the PLCs and print it"

_HEAD: Final = ("connection", "tag", "value", "unit", "quality", "time")
_VALUE_COLUMNS: Final = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    config_path.add_argument(parser)
    parser.add_argument("connection", nargs="?", help="read this connection alone; default: all")
    parser.add_argument("--json", action="store_true", help="print a list of values")


def run(args: argparse.Namespace, context: Context) -> int:
    import asyncio

    app = context.app
    loaded = app.load_config(config_path.existing(args.config, context.environ))
    values = asyncio.run(app.read_once(loaded, args.connection, context.warn))
    if args.json:
        context.print_json(list(values))
    elif values:
        for line in render(values, Palette(context.colours)):
            context.print(line)
    else:
        context.print("nothing was read: the config has no connection with a tag")
    return exit_code(values)


def exit_code(values: "Sequence[LatestValue]") -> ExitCode:
    """1 where a tag is bad, 3 where no tag at all could be reached."""
    bad = [value.quality for value in values if value.quality.startswith("bad")]
    if bad and len(bad) == len(values) and set(bad) == {"bad_comm"}:
        return ExitCode.UNREACHABLE
    return ExitCode.FOUND if bad else ExitCode.GOOD


def render(values: "Sequence[LatestValue]", palette: Palette) -> list[str]:
    rows: list[list[Cell]] = [
        [
            value.connection,
            value.tag,
            shortened(printable(show(value.value)), _VALUE_COLUMNS),
            value.unit,
            Styled(value.quality, _style(value.quality)),
            figures.time(value.time),
        ]
        for value in values
    ]
    return table(_HEAD, rows, {"value"}, palette)


def show(value: Any) -> str:
    """A value as text: numbers as they are, texts bare, lists and objects as JSON."""
    if value is None:
        return figures.NONE
    if isinstance(value, str):
        return value
    import orjson

    return orjson.dumps(value).decode()


def _style(quality: str) -> str:
    return "" if quality == "good" else "bad" if quality.startswith("bad") else "warn"
