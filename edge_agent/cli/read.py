"""`edge-agent read`: the newest value of every tag.

Of the running agent where there is one: many a PLC takes a single client, and a second link would throw
the agent's out. Without an agent, or with --direct, straight from the PLC.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from edge_agent.cli import config_path, figures
from edge_agent.cli.context import Context, UsageError
from edge_agent.cli.text import Cell, Palette, Styled, printable, shortened, table
from edge_agent.contracts.exit_codes import ExitCode

if TYPE_CHECKING:
    from edge_agent.contracts.status import LatestValue

NAME: Final = "read"
HELP: Final = "print the newest value of every tag: of the running agent, else straight from the PLCs"
EXAMPLE: Final = "edge-agent read press1.oil_temp"

_HEAD: Final = ("connection", "tag", "value", "unit", "quality", "time")
_VALUE_COLUMNS: Final = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    config_path.add_argument(parser)
    parser.add_argument(
        "what", nargs="?", metavar="CONNECTION[.TAG]", help="this connection or tag alone; default: all"
    )
    parser.add_argument(
        "--direct", action="store_true",
        help="ask the PLCs over links of their own, even while an agent runs",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print a list of values")


def run(args: argparse.Namespace, context: Context) -> int:
    app = context.app
    path = config_path.existing(args.config, context.environ)
    # A pipe gives its text once.
    loaded = app.load_config(path) if args.direct or config_path.is_pipe(path) else None
    connection, tag = place(args.what)
    values, running = None, False
    if not args.direct:
        values = _of_the_running_agent(connection, context, loaded or app.load_head(path))
        running = values is not None
    if values is None:
        import asyncio

        values = asyncio.run(app.read_once(loaded or app.load_config(path), connection, context.warn))
    if tag is not None:
        read = len(values)
        values = [value for value in values if value.tag == tag]
        # An agent that has read nothing yet knows of no tag whether it is there.
        if not values and (read or not running):
            raise UsageError(f"there is no tag {tag!r} in {connection}; see `edge-agent read {connection}`")
    _print(values, context, as_json=args.json, running=running)
    return exit_code(values)


def place(what: str | None) -> tuple[str | None, str | None]:
    """Connection and tag of `CONNECTION` or `CONNECTION.TAG`: the first dot separates."""
    connection, _, tag = (what or "").partition(".")
    return connection or None, tag or None


def _of_the_running_agent(
    connection: str | None, context: Context, head: Any
) -> "Sequence[LatestValue] | None":
    """None where no agent runs with this config: then the PLC itself has to be asked.

    Raises NotConnected for an agent that this user may not ask: its PLC may take no second client.
    """
    client = context.app.running_agent(head)
    if client is None:
        return None
    values = client.latest(connection)
    if values:
        oldest = figures.age(
            min((value.time for value in values if value.time), default=0), context.wall_ms()
        )
        context.warn(
            f"values of the running agent, up to {oldest} old; --direct asks the PLC over a link of its own"
        )
    return values


def _print(values: "Sequence[LatestValue]", context: Context, *, as_json: bool, running: bool) -> None:
    if as_json:
        context.print_json(list(values))
    elif values:
        for line in render(values, Palette(context.colours)):
            context.print(line)
    elif running:
        context.print("the running agent has read nothing yet")
    else:
        context.print("nothing was read: the config has no connection with a tag")


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
            Styled(value.quality, quality_style(value.quality)),
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


def quality_style(quality: str) -> str:
    return "" if quality == "good" else "bad" if quality.startswith("bad") else "warn"
