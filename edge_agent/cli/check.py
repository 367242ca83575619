"""`edge-agent check`: whether a config is valid, without touching anything it names."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, Final

from edge_agent.cli import config_path
from edge_agent.cli.context import Context, ExitCode, GroupPlan, Problem
from edge_agent.cli.figures import plural
from edge_agent.cli.headroom import judge
from edge_agent.cli.plan import notes as plan_notes
from edge_agent.cli.text import Palette, printable
from edge_agent.contracts.errors import ConfigError

NAME: Final = "check"
HELP: Final = "say whether a config is valid, and what is wrong with it"
EXAMPLE: Final = "edge-agent check -c edge-agent.yaml --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    config_path.add_argument(parser)
    parser.add_argument("--json", action="store_true", help="print {valid, problems, warnings}")


def run(args: argparse.Namespace, context: Context) -> int:
    path = config_path.existing(args.config, context.environ)
    try:
        loaded = context.app.load_config(path)
        plans = context.app.plans(loaded)
    except ConfigError as error:
        problems = _problems(error, str(path))
        return _refuse(problems, context, args.json)
    missing = [_record(warning) for warning in loaded.warnings if getattr(warning, "of_machine", False)]
    if missing:
        return _refuse(missing, context, args.json, ExitCode.FOUND)
    found = [_record(warning) for warning in loaded.warnings]
    verdict = judge(plans)
    found += [_record_of(text, str(path)) for text in (*verdict.errors, *verdict.warnings)]
    if not args.json:
        for text in plan_notes(plans):
            context.print(f"note: {printable(text)}")
    return _accept(plans, found, context, args.json)


def _refuse(
    problems: Sequence[dict[str, Any]], context: Context, as_json: bool, code: ExitCode = ExitCode.WRONG
) -> int:
    if as_json:
        context.print_json({"valid": False, "problems": problems, "warnings": []})
        return code
    palette = Palette(context.colours)
    for problem in problems:
        context.print(_line(problem))
    context.print(palette.paint(f"not valid: {plural(len(problems), 'problem')}", "bad"))
    return code


def _accept(
    plans: Sequence[GroupPlan], found: Sequence[dict[str, Any]], context: Context, as_json: bool
) -> int:
    if as_json:
        context.print_json({"valid": True, "problems": [], "warnings": found})
        return ExitCode.GOOD
    palette = Palette(context.colours)
    for warning in found:
        context.print(f"{palette.paint('warning:', 'warn')} {_line(warning)}")
    context.print(summary(plans, len(found), palette))
    return ExitCode.GOOD


def summary(plans: Iterable[GroupPlan], warnings: int, palette: Palette) -> str:
    """`ok: 3 connections, 240 tags`."""
    plans = list(plans)
    connections = len({plan.connection for plan in plans})
    tags = sum(plan.tags for plan in plans)
    text = f"{palette.paint('ok:', 'good')} {plural(connections, 'connection')}, {plural(tags, 'tag')}"
    return f"{text}, {plural(warnings, 'warning')}" if warnings else text


def _problems(error: ConfigError, path: str) -> list[dict[str, Any]]:
    """A loader's error carries its problems; one from a driver's planning is a single text."""
    problems: Sequence[Problem] = getattr(error, "problems", ())
    return [_record(problem) for problem in problems] or [_record_of(str(error), path)]


def _record(problem: Problem) -> dict[str, Any]:
    place = problem.place
    return {
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "path": problem.path,
        "message": problem.message,
    }


def _record_of(text: str, path: str) -> dict[str, Any]:
    return {"file": path, "line": None, "column": None, "path": "", "message": text}


def _line(record: dict[str, Any]) -> str:
    place = ":".join(str(record[key]) for key in ("file", "line", "column") if record[key] is not None)
    return printable(": ".join(part for part in (place, record["path"], record["message"]) if part))
