"""`edge-agent doctor`: what is wrong with this machine for an agent, and what to do about it.

Exit code 2: the config is invalid. 1: something on this machine or in the config is to mend. 3: all that
failed is that the centre, a PLC or a name server does not answer. Warnings alone are 0.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from edge_agent.cli import config_path
from edge_agent.cli.context import Context
from edge_agent.cli.text import Palette, printable, width
from edge_agent.contracts.check_names import CHECKS
from edge_agent.contracts.exit_codes import ExitCode

if TYPE_CHECKING:
    from edge_agent.contracts.diagnosis import Outcome

NAME: Final = "doctor"
HELP: Final = "check this machine: clock, disk, rights, hooks, DNS, TLS, centre, PLCs; say what to mend"
EXAMPLE: Final = "edge-agent doctor --only dns tls centre"

_MARKS: Final = {
    "ok": ("✓", "good"),
    "warning": ("!", "warn"),
    "failed": ("✗", "bad"),
    "skipped": ("–", "dim"),
}
_NAME_COLUMNS: Final = max(map(len, CHECKS)) + 2
_INDENT: Final = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    config_path.add_argument(parser)
    parser.add_argument(
        "--only", nargs="+", metavar="CHECK", choices=CHECKS, default=[],
        help=f"these checks alone: {', '.join(CHECKS)}",
    )  # fmt: skip
    parser.add_argument(
        "--direct", action="store_true",
        help="ask the PLCs over links of their own, even while an agent runs",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print all findings as one JSON document")
    parser.add_argument(
        "--steps", action="store_true",
        help="say on standard error which check begins, one JSON object a line, for programs",
    )  # fmt: skip


def run(args: argparse.Namespace, context: Context) -> int:
    path = config_path.existing(args.config, context.environ)
    palette = Palette(context.colours)
    progress = _Steps(context, args.only) if args.steps else _Progress(context)

    def tell(outcome: "Outcome") -> None:
        progress.clear()
        if not args.json:
            for line in lines(outcome, palette):
                context.print(line)
            context.out.flush()

    examined = context.app.examine(path, args.only, direct=args.direct, tell=tell, starting=progress.show)
    import asyncio

    outcomes = asyncio.run(examined)
    progress.clear()
    code = exit_code(outcomes)
    if args.json:
        report = {"verdict": summary(outcomes), "exit_code": int(code)}
        context.print_json({**report, "checks": [outcome.record() for outcome in outcomes]})
    else:
        context.print(palette.paint(summary(outcomes), "bold"))
    return code


def lines(outcome: "Outcome", palette: Palette) -> list[str]:
    """One line with what was found, and below it what to do."""
    mark, style = _MARKS[outcome.verdict]
    subject = f"{outcome.subject}: " if outcome.subject else ""
    name = outcome.check + " " * (_NAME_COLUMNS - width(outcome.check))
    text = printable(f"{subject}{outcome.text}")
    remedies = [f"{' ' * _INDENT}→ {printable(remedy)}" for remedy in outcome.remedies]
    return [f"{palette.paint(mark, style)} {palette.paint(name, 'bold')}{text}", *remedies]


def exit_code(outcomes: "Sequence[Outcome]") -> ExitCode:
    from edge_agent.contracts.diagnosis import Verdict

    if any(outcome.check == "config" and outcome.verdict is Verdict.FAILED for outcome in outcomes):
        return ExitCode.WRONG
    found = [finding for outcome in outcomes for finding in outcome.findings]
    failures = [finding for finding in found if finding.verdict is Verdict.FAILED]
    if any(not finding.elsewhere for finding in failures):
        return ExitCode.FOUND
    return ExitCode.UNREACHABLE if failures else ExitCode.GOOD


def summary(outcomes: "Sequence[Outcome]") -> str:
    """`all well`, or how many failed, warn and were left out."""
    from edge_agent.contracts.diagnosis import Verdict

    counted = {verdict: sum(outcome.verdict is verdict for outcome in outcomes) for verdict in Verdict}
    words = {Verdict.FAILED: "failed", Verdict.WARNING: "to look at", Verdict.SKIPPED: "not checked"}
    parts = [f"{counted[verdict]} {word}" for verdict, word in words.items() if counted[verdict]]
    good = [f"{counted[Verdict.OK]} well"] if counted[Verdict.OK] else []
    return ", ".join([*parts, *good]) if parts else "all well"


class _Progress:
    """What is being looked at, on a terminal, until there is something to say about it."""

    def __init__(self, context: Context) -> None:
        self._stream = context.err if context.err.isatty() else None
        self._shown = False

    def show(self, name: str) -> None:
        self.clear()
        if self._stream is not None:
            self._stream.write(f"… {name}")
            self._stream.flush()
            self._shown = True

    def clear(self) -> None:
        if self._stream is not None and self._shown:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
            self._shown = False


class _Steps(_Progress):
    """The same for programs."""

    def __init__(self, context: Context, only: Sequence[str]) -> None:
        super().__init__(context)
        self._stream = None
        self._err = context.err
        self._steps = len(set(only)) or len(CHECKS)
        self._step = 0

    def show(self, name: str) -> None:
        import json

        self._step += 1
        line = json.dumps({"step": self._step, "steps": max(self._step, self._steps), "check": name})
        self._err.write(f"{line}\n")
        self._err.flush()
