"""What the shells need to complete command lines of `central-sync`: argcomplete, imported here alone.

The shell's function starts the program with `_ARGCOMPLETE` in its environment, and `answer` answers instead
of a command. No other call should wait for this module.
"""

import argparse
from collections.abc import Iterable
from typing import Final

from argcomplete.completers import BaseCompleter, DirectoriesCompleter, FilesCompleter
from argcomplete.finders import ExclusiveCompletionFinder
from argcomplete.shell_integration import shellcode

_BY_METAVAR: Final = {"FILE": FilesCompleter(), "DIR": DirectoriesCompleter()}


def script(shell: str) -> str:
    """What the shell sources."""
    # Where there is nothing to offer, bash is not to offer files instead.
    return shellcode(["central-sync"], shell=shell, complete_arguments=("-o", "nospace"))


def answer(parser: argparse.ArgumentParser) -> None:
    """Tells the shell that asks what may follow, and ends the process."""
    ExclusiveCompletionFinder()(parser, always_complete_options=False, default_completer=_Values())


class _Values(BaseCompleter):
    """What an argument can be, by its metavar."""

    def __call__(
        self,
        *,
        prefix: str,
        action: argparse.Action,
        parser: argparse.ArgumentParser,
        parsed_args: argparse.Namespace,
    ) -> Iterable[str]:
        files = _BY_METAVAR.get(str(action.metavar))
        if files is None:
            return []
        return files(prefix=prefix, action=action, parser=parser, parsed_args=parsed_args)
