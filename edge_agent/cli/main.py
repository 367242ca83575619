"""Reads the arguments, runs the command, and turns errors into one line and an exit code."""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Sequence
from typing import Final, Protocol

from edge_agent import __version__
from edge_agent.cli import (
    browse,
    buffer,
    check,
    completion,
    demo,
    docs,
    doctor,
    enroll,
    hook,
    init,
    opcua,
    plan,
    read,
    reload,
    run,
    simulate,
    status,
    support_bundle,
    top,
    write,
)
from edge_agent.cli.context import App, Context, UsageError
from edge_agent.cli.parser import Parser
from edge_agent.cli.text import printable
from edge_agent.contracts.errors import ConfigError, NotConnected, Unavailable, Unsupported
from edge_agent.contracts.exit_codes import ExitCode

_EPILOG: Final = (
    "exit codes: 0 good; 1 a check found something; 2 wrong use or invalid config; "
    "3 could not reach or use something; 4 an essential part failed"
)
# Errors that tell their reader what to do. Any other is a bug, and its trace is what helps.
_KNOWN: Final = (ConfigError, UsageError, Unsupported, NotConnected, Unavailable, OSError)


class Command(Protocol):
    """A module of this package."""

    NAME: str
    HELP: str
    EXAMPLE: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, args: argparse.Namespace, context: Context) -> int: ...


COMMANDS: Final[tuple[Command, ...]] = (
    run, init, enroll, check, plan, read, write, browse, status, top, reload, buffer, doctor, support_bundle,
    opcua, hook, simulate, demo, completion, docs,
)  # fmt: skip


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="edge-agent",
        description="Polls PLCs, keeps every sample until the centre has it.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"edge-agent {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        about = f"{command.HELP[0].upper()}{command.HELP[1:]}."
        example = f"example: {command.EXAMPLE}"
        child = commands.add_parser(command.NAME, help=command.HELP, description=about, epilog=example)
        command.add_arguments(child)
        child.set_defaults(run=command.run)
    return parser


def main(argv: Sequence[str] | None = None, context: Context | None = None) -> int:
    """Runs one command line (default: this process's) and answers its exit code.

    Raises SystemExit for --help, --version and wrong arguments, as argparse does.
    """
    context = _process_context() if context is None else context
    parser = build_parser()
    if completion.ASKED in context.environ:
        completion.answer(parser, context)
    args = parser.parse_args(argv)
    try:
        code = int(args.run(args, context))
        context.out.flush()
    except BrokenPipeError:
        # Whoever read the output has seen enough (`| head`). Nothing may be flushed at exit any more.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), context.out.fileno())
        return ExitCode.GOOD
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except (*_KNOWN, ExceptionGroup) as error:
        known = _leaves(error)
        if not all(isinstance(leaf, _KNOWN) for leaf in known):
            raise
        return _fail(context, known)
    return code


def _leaves(error: Exception) -> list[Exception]:
    """The errors themselves: what failed inside a TaskGroup comes wrapped."""
    if isinstance(error, ExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _fail(context: Context, errors: Sequence[Exception]) -> int:
    """Prints each error as its lines. The exit code is that of the first."""
    for error in errors:
        text = str(error)
        if isinstance(error, OSError):
            text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or text
        for line in text.splitlines() or [type(error).__name__]:
            context.warn(printable(line))
    later = isinstance(errors[0], (NotConnected, Unavailable))
    return ExitCode.UNREACHABLE if later else ExitCode.WRONG


def _process_context() -> Context:
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding shows escapes instead of ending the command.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    return Context(
        stdin=sys.stdin,
        out=sys.stdout,
        err=sys.stderr,
        environ=os.environ,
        wall_ms=lambda: time.time_ns() // 1_000_000,
        load_app=_load_app,
        run_demo=_run_demo,
    )


def _load_app() -> App:
    from edge_agent import app

    return app


def _run_demo(for_seconds: float | None, as_json: bool) -> int:
    from edge_agent import demo as program

    return program.run(for_seconds, as_json)
