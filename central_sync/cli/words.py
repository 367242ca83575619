"""What the command line's parts are made of."""

import argparse
from pathlib import Path
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Exits with 2 and one line where the arguments are wrong, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def verb(commands: "argparse._SubParsersAction[Parser]", name: str, about: str, example: str) -> Parser:
    return commands.add_parser(
        name, help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=f"example: {example}"
    )


def add_settings(command: argparse.ArgumentParser) -> None:
    command.add_argument("-c", "--config", type=Path, metavar="FILE", help="settings; flags override them")
    command.add_argument("--data", type=Path, metavar="DIR", help="directory of the database")
    command.add_argument("--json", action="store_true", help="print JSON")
