"""`edge-agent completion`: what the shells need to complete command lines, names of tags included.

The shell's function starts the program with `_ARGCOMPLETE` in its environment, and `offers` answers
instead of a command. It imports argcomplete, which no other call should wait for.
"""

import argparse
from typing import Final

from edge_agent.cli.context import Context
from edge_agent.contracts.exit_codes import ExitCode

NAME: Final = "completion"
HELP: Final = "print the script that completes command lines in bash, zsh or fish"
EXAMPLE: Final = "source <(edge-agent completion bash)"
# What a shell's function sets when it asks.
ASKED: Final = "_ARGCOMPLETE"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="whose script to print")


def run(args: argparse.Namespace, context: Context) -> int:
    from argcomplete.shell_integration import shellcode

    # Where there is nothing to offer, bash is not to offer files instead.
    options = ("-o", "nospace")
    context.out.write(shellcode(["edge-agent"], shell=args.shell, complete_arguments=options))
    return ExitCode.GOOD


def answer(parser: argparse.ArgumentParser, context: Context) -> None:
    """Tells the shell that asks what may follow, and ends the process."""
    from edge_agent.cli.offers import Finder, Values

    Finder()(parser, always_complete_options=False, default_completer=Values(context))
