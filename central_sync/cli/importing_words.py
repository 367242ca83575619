"""The words of `central-sync import-edge-config`."""

import argparse
from pathlib import Path
from typing import Final

from central_sync.cli.words import Parser, add_settings, verb

TOKEN_VARIABLE: Final = "CENTRAL_TOKEN"  # noqa: S105 the name of one


def add_import(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = verb(
        commands,
        "import-edge-config",
        "want on a device what a local file of an agent says",
        "central-sync import-edge-config edge-agent.yaml --device press-1 --dry-run",
    )
    command.add_argument("file", type=Path, metavar="FILE", help="a config of edge-agent, YAML or JSON")
    command.add_argument("--device", required=True, metavar="ID", help="who is to have it")
    command.add_argument("--dry-run", action="store_true", help="show what would be wanted, change nothing")
    command.add_argument("--note", default="", help="why; shown with the version")
    command.add_argument("--url", metavar="URL", help="a centre that runs; absent: the database itself")
    command.add_argument(
        "--token-file", type=Path, metavar="FILE", help=f"an engineer's token; default: ${TOKEN_VARIABLE}"
    )
    command.add_argument("--ca-file", type=Path, metavar="FILE", help="certificates to trust (PEM)")
    add_settings(command)
