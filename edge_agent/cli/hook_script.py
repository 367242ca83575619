"""The arguments that say which script a command is about."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edge_agent.cli import config_path
from edge_agent.cli.context import ChosenScript, Context, UsageError

POINTS: Final = ("on_connect", "transform", "on_cycle", "before_forward", "on_alert", "on_schedule")
# As arguments and as the section `hooks` calls them.
_SETTINGS: Final = (
    "name", "point", "groups", "keep_raw", "on_failure", "timeout", "worker", "schedule", "timezone",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser, *, nargs: str = "?") -> None:
    parser.add_argument(
        "file", metavar="FILE", nargs=nargs,
        help="the script; or a document NAME.json with its settings, as `edge-agent hook sign` writes it",
    )  # fmt: skip
    parser.add_argument(
        "-c", "--config", metavar="FILE", help="config file that the script or its input is of"
    )
    parser.add_argument(
        "--hook", metavar="HOOK", help="the script of this name in the config, in place of FILE"
    )
    given = parser.add_argument_group("settings of FILE, where no config has them")
    given.add_argument("--point", choices=POINTS, help="where it is run; default: by the function it defines")
    given.add_argument("--name", metavar="NAME", help="the hook's name; default: that of the file")
    given.add_argument(
        "--groups", metavar="CONNECTION.GROUP", action="append",
        help="what it is run on, * for any text; may be repeated; default: *",
    )  # fmt: skip
    given.add_argument(
        "--keep-raw", action="store_true", default=None, help="keep tags that it replaces as TAG.raw too"
    )
    given.add_argument("--on-failure", choices=("raw", "withhold"), help="samples that it fails on")
    given.add_argument("--timeout", metavar="DURATION", help="most that one call may take, as 100ms")
    given.add_argument("--worker", metavar="NAME", help="hooks of one name share a process")
    given.add_argument("--schedule", metavar="CRON", help="of on_schedule, as '0 6,14,22 * * *'")
    given.add_argument("--timezone", metavar="ZONE", help="of the schedule, as Asia/Seoul")


def chosen(args: argparse.Namespace, context: Context, *, trial: bool = False) -> ChosenScript:
    """What the arguments name; trial: to be tried alone. Raises UsageError where they do not."""
    if (args.file is None) == (args.hook is None):
        raise UsageError("name one script: FILE, or --hook NAME of the config")
    named = args.config is not None or args.hook is not None
    return context.app.hook_desk().choose(
        file=None if args.file is None else Path(args.file),
        config=config_path.existing(args.config, context.environ) if named else None,
        hook=args.hook,
        given=_given(args),
        trial=trial,
    )


def _given(args: argparse.Namespace) -> Mapping[str, Any]:
    return {name: getattr(args, name) for name in _SETTINGS if getattr(args, name) is not None}
