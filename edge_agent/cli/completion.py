"""`edge-agent completion`: what the shells need to complete command lines, names of tags included."""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from edge_agent import completion
from edge_agent.cli import config_path
from edge_agent.cli.context import Context, ExitCode, UsageError
from edge_agent.contracts.errors import ConfigError, NotConnected, Unsupported

NAME: Final = "completion"
HELP: Final = "print the script that completes command lines in bash, zsh or fish"
EXAMPLE: Final = "source <(edge-agent completion bash)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    completion.add_arguments(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    from edge_agent.cli.main import build_parser

    names = _Names(context)
    providers: dict[str, completion.Provider] = {
        "CONNECTION": names.connections,
        "CONNECTION[.TAG]": names.tags,
        "DRIVER": names.simulators,
    }
    context.out.write(completion.answer(args, build_parser(), providers))
    return ExitCode.GOOD


class _Names:
    """What there is to name, by the config or the socket on the command line so far."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def connections(self, _: str, given: Mapping[str, str]) -> Iterable[str]:
        return self._tags(given)

    def tags(self, current: str, given: Mapping[str, str]) -> Iterable[str]:
        """Connections until there is a dot, then the tags of that one."""
        found = self._tags(given)
        connection, dot, _ = current.partition(".")
        return [f"{connection}.{tag}" for tag in found.get(connection, ())] if dot else found

    def simulators(self, _: str, __: Mapping[str, str]) -> Iterable[str]:
        return self._context.app.simulators()

    def _tags(self, given: Mapping[str, str]) -> Mapping[str, Iterable[str]]:
        """Tags by connection. Whoever presses Tab wants no error: then there is nothing to offer."""
        app = self._context.app
        try:
            if given.get("socket"):
                found: dict[str, list[str]] = {}
                for value in app.local_client(Path(given["socket"])).latest():
                    found.setdefault(value.connection, []).append(value.tag)
                return found
            path = config_path.existing(given.get("config"), self._context.environ)
            return app.tag_names(app.load_config(path))
        except (ConfigError, UsageError, NotConnected, Unsupported, OSError):
            return {}
