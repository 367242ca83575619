"""`edge-agent hook test`: what a script makes of samples, and how long it takes.

It runs as on a gateway: in the sandbox, through the same code. Exit code 1: the script failed; 3: no script
can be run here.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_agent.cli import hook_script, hook_view
from edge_agent.cli.context import ChosenScript, Context, UsageError
from edge_agent.cli.text import Palette
from edge_agent.contracts.exit_codes import ExitCode

if TYPE_CHECKING:
    from edge_agent.wire.dry_run import DryRunAnswer

EXAMPLE: Final = "edge-agent hook test oil.py --from-buffer buffer.db --group press1.fast --last 20"
ABOUT: Final = "run a script on recorded, given or made-up samples and show what it does"

_LAST: Final = 10
_LOOK_SECONDS: Final = 0.25
_INPUTS: Final = ("frames", "from_buffer", "group", "calls", "state")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    hook_script.add_arguments(parser)
    given = parser.add_argument_group("samples; without any, made up for the groups of -c CONFIG")
    given.add_argument(
        "--frames", metavar="FILE",
        help="JSON or CSV: as `edge-agent buffer export` writes it, frames, or a table with a column time",
    )  # fmt: skip
    given.add_argument("--from-buffer", metavar="FILE", help="what an agent recorded; it may be running")
    given.add_argument(
        "--group", metavar="CONNECTION.GROUP", action="append", default=[],
        help="whose samples, * for any text; may be repeated; default: what the script is run on",
    )  # fmt: skip
    given.add_argument(
        "--last",
        metavar="N",
        type=_count,
        default=_LAST,
        help=f"so many frames, the newest; default: {_LAST}",
    )
    given.add_argument(
        "--calls", metavar="FILE", help="JSON list: what happened, for on_connect, on_alert, on_schedule"
    )
    given.add_argument("--state", metavar="FILE", help="JSON object: the state before the first call")
    parser.add_argument(
        "--repeat", metavar="N", type=_count, default=1, help="run all of it so often, for the times"
    )
    parser.add_argument("--all", action="store_true", help="show tags that it does not change, too")
    parser.add_argument("--watch", action="store_true", help="run again whenever a file of it is saved")
    parser.add_argument(
        "--request", metavar="FILE",
        help="script and samples as one JSON document, - for the standard input (docs/specs/hook-test-v1.md)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the result as one JSON document")


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 1_000:
        raise argparse.ArgumentTypeError("write a number from 1 to 1000")
    return number


def run(args: argparse.Namespace, context: Context) -> int:
    if args.request is not None:
        return _of_request(args, context)
    if not args.watch:
        chosen = hook_script.chosen(args, context, trial=True)
        return _show(_tried(chosen, args, context), chosen.file, args, context)
    return _watch(args, context)


def _tried(chosen: ChosenScript, args: argparse.Namespace, context: Context) -> "DryRunAnswer":
    return context.app.hook_desk().try_out(chosen, _inputs(args), context.warn)


def _inputs(args: argparse.Namespace) -> Mapping[str, Any]:
    if args.frames and args.from_buffer:
        raise UsageError("--frames and --from-buffer exclude each other")
    paths = ("frames", "from_buffer", "calls", "state")
    return {
        **{name: None if getattr(args, name) is None else Path(getattr(args, name)) for name in paths},
        "groups": tuple(args.group), "last": args.last, "repeat": args.repeat,
    }  # fmt: skip


def _of_request(args: argparse.Namespace, context: Context) -> int:
    if args.file or args.hook or args.watch or any(getattr(args, name) for name in _INPUTS):
        raise UsageError("--request has script and samples: leave FILE, --hook, --watch and samples out")
    desk = context.app.hook_desk()
    if args.request == "-":
        answer = desk.answer(context.stdin)
    else:
        with Path(args.request).open(encoding="utf-8") as stream:
            answer = desk.answer(stream)
    return _show(answer, "", args, context)


def _show(answer: "DryRunAnswer", file: str, args: argparse.Namespace, context: Context) -> int:
    if args.json:
        context.print_json_line(answer)
    else:
        palette = Palette(context.colours)
        for line in hook_view.render(answer, file, palette, everything=args.all):
            context.print(line)
    return ExitCode.GOOD if answer.ok else ExitCode.FOUND


# --- watching ------------------------------------------------------------------------------------------


def _watch(args: argparse.Namespace, context: Context) -> int:
    """Until somebody ends it. What is wrong with a file is said, and the next save tried again."""
    from edge_agent.contracts.errors import ConfigError, Unavailable

    watched: Sequence[Path] = [Path(args.file)] if args.file else []
    while True:
        before = _saved(watched)
        try:
            chosen = hook_script.chosen(args, context, trial=True)
            given = (args.frames, args.calls, args.state)
            watched = [*chosen.watched, *(Path(name) for name in given if name)]
            before = _saved(watched)
            _show(_tried(chosen, args, context), chosen.file, args, context)
        except (ConfigError, Unavailable, OSError) as error:
            if not watched:
                raise
            for line in str(error).splitlines():
                context.warn(line)
        context.out.flush()
        while _saved(watched) == before:
            context.sleep(_LOOK_SECONDS)
        context.print("")


def _saved(files: Sequence[Path]) -> list[tuple[int, int, int] | None]:
    """What tells that a file was written, also where an editor puts a new one in its place."""
    found: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            found.append(None)
        else:
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return found
