"""Which config file a command is about."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edge_agent.cli.context import UsageError

LOCAL: Final = Path("edge-agent.yaml")
SYSTEM: Final = Path("/etc/holdfast/edge-agent.yaml")
VARIABLE: Final = "HOLDFAST_CONFIG"


def add_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c", "--config", metavar="FILE",
        help=f"config file; - for the standard input; default: ${VARIABLE}, ./{LOCAL}, {SYSTEM}",
    )  # fmt: skip


def existing(given: str | None, environ: Mapping[str, str]) -> Path:
    """The config to read. Raises UsageError where none was named and none is in its usual place."""
    named = given or environ.get(VARIABLE)
    if named:
        return Path("/dev/stdin") if named == "-" else Path(named)
    for path in (LOCAL, SYSTEM):
        if path.exists():
            return path
    raise UsageError(
        f"there is no config in ${VARIABLE}, ./{LOCAL} or {SYSTEM}; write one with `edge-agent init` or "
        "name it with -c FILE"
    )


def is_pipe(path: Path) -> bool:
    """Whether it may be read but once."""
    return path.exists() and not path.is_file()


def new(given: str | None, environ: Mapping[str, str]) -> Path | None:
    """Where to write a config; None: to the standard output."""
    named = given or environ.get(VARIABLE) or str(LOCAL)
    return None if named == "-" else Path(named)
