"""`edge-agent check`: whether a config is valid, without touching a PLC or the centre.

Exit code 2: it is not, and no agent takes it; among it what a driver's planning refuses, such as a serial
line that cannot carry its intervals at its baud rate, and a script that does not compile in the sandbox,
without which an agent that begins would go on. 1: an agent runs with it, and something in it cannot
work here: a file that is missing, an interval that the wire's physics forbid elsewhere, a layer of the
sandbox that hooks.require names.
"""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

from edge_agent.cli import config_path, judging
from edge_agent.cli.context import Context, GroupPlan, Problem
from edge_agent.cli.figures import plural
from edge_agent.cli.headroom import judge
from edge_agent.cli.plan import note_lines
from edge_agent.cli.text import Palette, printable
from edge_agent.contracts.errors import ConfigError
from edge_agent.contracts.exit_codes import ExitCode

NAME: Final = "check"
HELP: Final = "say whether a config is valid, and what is wrong with it"
EXAMPLE: Final = "edge-agent check -c edge-agent.yaml --json"

# A problem or a warning as JSON: file, line, column, path, message.
_Record: TypeAlias = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    config_path.add_argument(parser)
    parser.add_argument("--json", action="store_true", help="print {valid, problems, warnings}")
    other = parser.add_mutually_exclusive_group()
    other.add_argument(
        "--sections", metavar="FILE",
        help="judge a centre's document (JSON) instead, without a local file; - for the standard input",
    )  # fmt: skip
    other.add_argument(
        "--requests", action="store_true",
        help="answer the centre's questions: a line of JSON each, on the standard input",
    )  # fmt: skip


def run(args: argparse.Namespace, context: Context) -> int:
    if args.requests:
        return judging.serve(context)
    if args.sections is not None:
        answer = judging.judge_file(args.sections, context)
        return _tell(answer, context, args.json)
    path = config_path.existing(args.config, context.environ)
    try:
        loaded = context.app.load_config(path)
    except ConfigError as error:
        return _refuse(_problems(error, str(path)), (), context, args.json, ExitCode.WRONG)
    problems = [_record(each) for each in loaded.warnings if each.of_machine]
    warnings = [_record(each) for each in loaded.warnings if not each.of_machine]
    try:
        plans = context.app.plans(loaded)
    except ConfigError as error:
        problems = [*_problems(error, str(path)), *problems]
        return _refuse(problems, warnings, context, args.json, ExitCode.WRONG)
    scripts = context.app.script_problems(loaded)
    broken = [_record(each) for each in scripts if not each.of_machine]
    problems += [_record(each) for each in scripts if each.of_machine]
    if broken:
        return _refuse([*broken, *problems], warnings, context, args.json, ExitCode.WRONG)
    verdict = judge(plans)
    problems += [_record_of(text, str(path)) for text in verdict.errors]
    warnings += [_record_of(text, str(path)) for text in verdict.warnings]
    if not args.json:
        for line in note_lines(plans):
            context.print(line)
    if problems:
        return _refuse(problems, warnings, context, args.json, ExitCode.FOUND)
    return _accept(plans, warnings, context, args.json)


def _tell(answer: judging.Answer, context: Context, as_json: bool) -> int:
    problems, warnings = answer["problems"], answer["warnings"]
    if problems:
        return _refuse(problems, warnings, context, as_json, ExitCode.WRONG)
    if as_json:
        context.print_json({"valid": True, "problems": [], "warnings": warnings})
        return ExitCode.GOOD
    palette = Palette(context.colours)
    _warn(warnings, context, palette)
    context.print(palette.paint("ok", "good"))
    return ExitCode.GOOD


def _refuse(
    problems: Sequence[_Record],
    warnings: Sequence[_Record],
    context: Context,
    as_json: bool,
    code: ExitCode,
) -> int:
    if as_json:
        context.print_json({"valid": False, "problems": problems, "warnings": warnings})
        return code
    palette = Palette(context.colours)
    for problem in problems:
        context.print(_line(problem))
    _warn(warnings, context, palette)
    context.print(palette.paint(f"not valid: {plural(len(problems), 'problem')}", "bad"))
    return code


def _accept(plans: Sequence[GroupPlan], warnings: Sequence[_Record], context: Context, as_json: bool) -> int:
    if as_json:
        context.print_json({"valid": True, "problems": [], "warnings": warnings})
        return ExitCode.GOOD
    palette = Palette(context.colours)
    _warn(warnings, context, palette)
    context.print(summary(plans, len(warnings), palette))
    return ExitCode.GOOD


def _warn(warnings: Sequence[_Record], context: Context, palette: Palette) -> None:
    for warning in warnings:
        context.print(f"{palette.paint('warning:', 'warn')} {_line(warning)}")


def summary(plans: Iterable[GroupPlan], warnings: int, palette: Palette) -> str:
    """`ok: 3 connections, 240 tags`."""
    plans = list(plans)
    connections = len({plan.connection for plan in plans})
    tags = sum(plan.tags for plan in plans)
    text = f"{palette.paint('ok:', 'good')} {plural(connections, 'connection')}, {plural(tags, 'tag')}"
    return f"{text}, {plural(warnings, 'warning')}" if warnings else text


def _problems(error: ConfigError, path: str) -> list[_Record]:
    """A loader's error carries its problems; one from a driver's planning is a single text."""
    problems: Sequence[Problem] = getattr(error, "problems", ())
    return [_record(problem) for problem in problems] or [_record_of(str(error), path)]


def _record(problem: Problem) -> _Record:
    place = problem.place
    return {
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "path": problem.path,
        "message": problem.message,
    }


def _record_of(text: str, path: str) -> _Record:
    return {"file": path, "line": None, "column": None, "path": "", "message": text}


def _line(record: _Record) -> str:
    place = ":".join(str(record[key]) for key in ("file", "line", "column") if record.get(key) is not None)
    return printable(": ".join(part for part in (place, record["path"], record["message"]) if part))
