"""What may follow on a command line: argcomplete's answer, with the names that the config has.

What an argument takes is told by its metavar: `FILE`, `PATH` and `DIR` are the shell's, `CONNECTION`,
`CONNECTION[.TAG]`, `CONNECTION.TAG`, `CONNECTION.GROUP`, `HOOK` and `DRIVER` are looked up.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from argcomplete.completers import BaseCompleter, DirectoriesCompleter, FilesCompleter
from argcomplete.finders import ExclusiveCompletionFinder

from edge_agent.cli import config_path
from edge_agent.cli.context import Context, UsageError
from edge_agent.contracts.errors import ConfigError, NotConnected, Unsupported

_FILES: Final = {"FILE": FilesCompleter(), "PATH": FilesCompleter(), "DIR": DirectoriesCompleter()}


class Finder(ExclusiveCompletionFinder):
    """argcomplete, for many words."""

    def filter_completions(self, completions: list[str]) -> list[str]:
        """Each once. The library's own compares each with every other: seconds for 20,000 tags."""
        return list(dict.fromkeys(completions))


class Values(BaseCompleter):
    """What an argument can be, by its metavar and what the line says so far."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __call__(
        self,
        *,
        prefix: str,
        action: argparse.Action,
        parser: argparse.ArgumentParser,
        parsed_args: argparse.Namespace,
    ) -> Iterable[str]:
        if action.metavar in _FILES:
            files = _FILES[str(action.metavar)]
            return files(prefix=prefix, action=action, parser=parser, parsed_args=parsed_args)
        # Who presses Tab wants no error: then there is nothing to offer.
        try:
            return self._names(str(action.metavar), prefix, parsed_args)
        except (ConfigError, UsageError, NotConnected, Unsupported, OSError):
            return []

    def _names(self, metavar: str, prefix: str, given: argparse.Namespace) -> Sequence[str]:
        if metavar == "DRIVER":
            return self._context.app.simulators()
        if metavar in ("CONNECTION.GROUP", "HOOK"):
            path = config_path.existing(getattr(given, "config", None), self._context.environ)
            desk = self._context.app.hook_desk()
            return desk.hook_names(path) if metavar == "HOOK" else desk.group_names(path)
        if metavar not in ("CONNECTION", "CONNECTION[.TAG]", "CONNECTION.TAG"):
            return []
        tags = self._tags(given)
        connections = [name for name in tags if name.startswith(prefix)]
        if metavar == "CONNECTION":
            return connections
        # With the tags of the only connection that is left, the shell sees that the word may go on.
        opened = connections[0] if len(connections) == 1 else prefix.partition(".")[0]
        return [*connections, *(f"{opened}.{tag}" for tag in tags.get(opened, ()))]

    def _tags(self, given: argparse.Namespace) -> dict[str, Sequence[str]]:
        """Tags by connection, by the config or the socket on the line so far."""
        app = self._context.app
        if getattr(given, "socket", None):
            found: dict[str, list[str]] = {}
            for value in app.local_client(Path(given.socket)).latest():
                found.setdefault(value.connection, []).append(value.tag)
            return {**found}
        path = config_path.existing(getattr(given, "config", None), self._context.environ)
        return {**app.tag_names(app.load_config(path))}
