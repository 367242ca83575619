"""The argument parser of all commands: argparse with errors of one line."""

import argparse
from typing import NoReturn

from edge_agent.contracts.exit_codes import ExitCode


class Parser(argparse.ArgumentParser):
    """Exits with 2 and one line where the arguments are wrong, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        self.exit(ExitCode.WRONG, f"{self.prog}: {message}; see `{self.prog} --help`\n")
