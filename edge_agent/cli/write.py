"""`edge-agent write`: writes one tag, if the local file permits it.

The running agent does it, since it holds the link, the allow-list that is in force and the journal. Without
one nothing is written, unless --direct asks for a link of its own.
"""

import argparse
import getpass
import os
from typing import TYPE_CHECKING, Any, Final

from edge_agent.cli import config_path
from edge_agent.cli.context import Context, UsageError
from edge_agent.cli.read import place, show
from edge_agent.cli.text import Palette, printable
from edge_agent.contracts.errors import NotConnected
from edge_agent.contracts.exit_codes import ExitCode

if TYPE_CHECKING:
    from edge_agent.contracts.writing import WriteReport

NAME: Final = "write"
HELP: Final = "write one tag that writes.allow of the config permits, and read it back"
EXAMPLE: Final = "edge-agent write press1.setpoint 42.5 --yes"

_STYLES: Final = {"confirmed": "good", "unconfirmed": "warn"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    config_path.add_argument(parser)
    parser.add_argument("what", metavar="CONNECTION.TAG", help="the tag")
    parser.add_argument(
        "value", metavar="VALUE",
        help="in the tag's unit of measure, or a name of its enum; an array as JSON",
    )  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="do not ask before it is sent")
    parser.add_argument(
        "--direct", action="store_true", help="over a link of its own; only while no agent runs"
    )
    parser.add_argument("--json", action="store_true", help="print how it ended as JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    connection, tag = place(args.what)
    if connection is None or tag is None:
        raise UsageError(f"{args.what} is no CONNECTION.TAG")
    path = config_path.existing(args.config, context.environ)
    app = context.app
    loaded = app.load_config(path) if args.direct else app.load_head(path)
    client = app.running_agent(loaded)
    if client is None and not args.direct:
        raise NotConnected(
            "no agent is running, and it is the agent that writes; start it, or write over a link of its own "
            "with --direct"
        )
    if client is not None and args.direct:
        raise UsageError("an agent is running: it holds the link; leave out --direct")
    if not args.yes and not _agreed(args, context):
        context.warn("nothing was written")
        return ExitCode.FOUND
    value = _value(args.value)
    if client is not None:
        report = client.write(args.what, value)
    else:
        import asyncio

        report = asyncio.run(app.write_once(loaded, args.what, value, _whoever()))
    _print(report, context, as_json=args.json)
    return exit_code(report)


def _agreed(args: argparse.Namespace, context: Context) -> bool:
    """Raises UsageError where nobody is there who could be asked."""
    if not context.stdin.isatty():
        raise UsageError("nobody is there to be asked: add --yes to write without a question")
    context.err.write(f"write {printable(args.what)} = {printable(args.value)}? [y/N] ")
    context.err.flush()
    return context.stdin.readline().strip().lower() in ("y", "yes")


def _value(text: str) -> Any:
    """An array as JSON; all else is read by the tag's type where that is known."""
    if not text.startswith("["):
        return text
    import orjson

    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{text} is no JSON list: {error}") from error


def _whoever() -> str:
    try:
        return f"{getpass.getuser()} (uid {os.getuid()})"
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _print(report: "WriteReport", context: Context, *, as_json: bool) -> None:
    if as_json:
        context.print_json(report)
        return
    for line in render(report, Palette(context.colours)):
        context.print(line)


def render(report: "WriteReport", palette: Palette) -> list[str]:
    style = _STYLES.get(report.state, "bad")
    text = f"{printable(report.tag)} = {printable(show(report.value))}"
    if report.raw is not None and report.raw != report.value:
        text += f" (raw {printable(show(report.raw))})"
    if report.before is not None:
        text += f", before {printable(show(report.before))}"
    why = f": {printable(report.message)}" if report.message else ""
    return [f"{palette.paint(report.state, style)}: {text}{why}"]


def exit_code(report: "WriteReport") -> ExitCode:
    """0: the PLC took it, and it was read back where that was wanted. 3: nothing was sent, for want of a
    link. 2: refused. 1: it is not what was wanted, or nobody knows."""
    if report.state == "confirmed" or (report.state == "unconfirmed" and not report.message):
        return ExitCode.GOOD
    if report.code == "not_connected":
        return ExitCode.UNREACHABLE
    return ExitCode.WRONG if report.state == "refused" else ExitCode.FOUND
