"""`edge-agent top`: the running agent, live. The screen itself is in `live`."""

import argparse
from typing import TYPE_CHECKING, Final

from edge_agent.cli import local
from edge_agent.cli.context import Client, Context, UsageError
from edge_agent.cli.text import Palette
from edge_agent.contracts.exit_codes import ExitCode

if TYPE_CHECKING:
    from edge_agent.cli.live.figures import Figures, Snapshot

NAME: Final = "top"
HELP: Final = "watch the running agent live: rates, latency, buffer, connections, values"
EXAMPLE: Final = "edge-agent top --once --connection press1"

_LEAST_SECONDS: Final = 0.1
_PIPE_COLUMNS: Final = 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    local.add_arguments(parser)
    parser.add_argument("--connection", metavar="CONNECTION", help="begin with the values of this connection")
    parser.add_argument(
        "--interval", metavar="DURATION", default="1s", help="time between two looks; default: 1s"
    )
    parser.add_argument("--once", action="store_true", help="print one screen as text and end")
    parser.add_argument("--json", action="store_true", help="print the figures as a line of JSON an interval")
    parser.add_argument("--count", type=int, metavar="N", help="end after this many lines of JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    seconds = _seconds(args.interval)
    if args.count is not None and (args.count < 1 or not args.json):
        raise UsageError("--count takes a number from 1 on, and goes with --json")
    if not (args.once or args.json):
        _need_terminal(context)
    client = local.client(args, context)
    if args.once or args.json:
        return _print(args, context, client, seconds)
    return _watch(args, context, client, seconds)


def _seconds(text: str) -> float:
    from edge_agent.config.units import parse_duration

    try:
        seconds = float(parse_duration(text))
    except ValueError as error:
        raise UsageError(f"--interval {error}") from error
    if seconds < _LEAST_SECONDS:
        raise UsageError(f"--interval {text} is too short; use {_LEAST_SECONDS:g}s or more")
    return seconds


def _need_terminal(context: Context) -> None:
    if not (context.stdin.isatty() and context.out.isatty()):
        raise UsageError("there is no terminal to watch this on; use --once or --json")
    if context.environ.get("TERM", "dumb") == "dumb":
        raise UsageError(
            "this terminal cannot move its cursor (TERM is dumb or not set); use --once or --json"
        )


def _print(args: argparse.Namespace, context: Context, client: Client, seconds: float) -> int:
    """Without a terminal: the figures of an interval, once or again and again.

    An agent that goes away ends it with NotConnected: a script wants to know, and can start it again.
    """
    from edge_agent.cli.live.figures import figures
    from edge_agent.cli.live.watch import Watch, ask

    watch = Watch()
    watch.took(ask(client, args.connection))
    wanted = 1 if args.once and args.count is None else args.count
    printed = 0
    while wanted is None or printed < wanted:
        context.sleep(seconds)
        watch.took(ask(client, args.connection))
        shown = figures(watch.history, context.wall_ms())
        if args.json:
            context.print_json_line(shown)
        else:
            _print_screen(shown, args.connection, context)
        printed += 1
    return ExitCode.GOOD


def _print_screen(shown: "Figures", connection: str | None, context: Context) -> None:
    from edge_agent.cli.live.grid import painted
    from edge_agent.cli.live.screen import render
    from edge_agent.cli.live.view import View

    screen = render(shown, View(opened=connection), context.columns or _PIPE_COLUMNS)
    for line in painted(screen.rows, Palette(context.colours)):
        context.print(line)


def _watch(args: argparse.Namespace, context: Context, client: Client, seconds: float) -> int:
    from edge_agent.cli.live import terminal
    from edge_agent.cli.live.view import View
    from edge_agent.cli.live.watch import Watcher, ask

    first: Snapshot = ask(client, args.connection)
    watcher = Watcher(client, first, seconds, args.connection)
    watcher.start()
    try:
        terminal.run(watcher, View(opened=args.connection), context.wall_ms, colours=context.colours)
    finally:
        watcher.stop()
    return ExitCode.GOOD
