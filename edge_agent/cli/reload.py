"""`edge-agent reload`: tells the running agent to read its config file again."""

import argparse
from typing import TYPE_CHECKING, Final

from edge_agent.cli import local
from edge_agent.cli.context import Context
from edge_agent.cli.text import Palette, printable
from edge_agent.contracts.exit_codes import ExitCode

if TYPE_CHECKING:
    from edge_agent.contracts.status import ReloadResult

NAME: Final = "reload"
HELP: Final = "tell the running agent to read its config again; an invalid one changes nothing"
EXAMPLE: Final = "edge-agent reload"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    local.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    result = local.client(args, context).reload()
    if args.json:
        context.print_json(result)
    else:
        for line in render(result, Palette(context.colours)):
            context.print(line)
    return ExitCode.GOOD if result.applied else ExitCode.WRONG


def render(result: "ReloadResult", palette: Palette) -> list[str]:
    lines = [printable(problem) for problem in result.problems]
    lines += [f"{palette.paint('warning:', 'warn')} {printable(text)}" for text in result.warnings]
    if not result.applied:
        return [*lines, palette.paint("refused: the config that ran before still runs", "bad")]
    moved = {"added": result.added, "changed": result.changed, "removed": result.removed}
    parts = [f"{what} {', '.join(names)}" for what, names in moved.items() if names]
    if result.hooks:
        parts.append(f"hooks {', '.join(result.hooks)}")
    text = printable("; ".join(parts)) or "no connection changed"
    return [*lines, f"{palette.paint('applied:', 'good')} {text}; {len(result.unchanged)} untouched"]
