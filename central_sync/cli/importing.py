"""`import-edge-config`: its words, what it does with them, and its exit codes."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any, Final

import orjson

from central_sync.app import ExitCode, Invalid, importing
from central_sync.cli.options import settings_of
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


def import_edge_config(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    taken = importing.take_sections(settings, options.file)
    for line in taken.warnings:
        print(f"warning: {line}", file=sys.stderr)
    if options.dry_run:
        sys.stdout.write(orjson.dumps(orjson.loads(taken.sections), option=_style(options)).decode() + "\n")
        return ExitCode.GOOD
    note = options.note or f"imported from {options.file.name}"
    if options.url is None:
        written = importing.store_sections(settings, options.device, taken.sections, note)
    else:
        written = importing.send_sections(
            options.url, _token(options), options.ca_file, options.device, taken.sections, note
        )
    _tell(written, options)
    return ExitCode.GOOD


def _style(options: argparse.Namespace) -> int:
    return 0 if options.json else orjson.OPT_INDENT_2


def _tell(written: dict[str, Any], options: argparse.Namespace) -> None:
    if options.json:
        print(orjson.dumps(written).decode())
    elif written["created"]:
        print(f"{options.device} is to have version {written['version']}")
    else:
        print(f"{options.device} is to have this already, as version {written['version']}")


def _token(options: argparse.Namespace) -> str:
    """Raises Invalid."""
    if options.token_file is None:
        token = os.environ.get(TOKEN_VARIABLE, "")
    else:
        try:
            token = options.token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid("no_token", f"{options.token_file}: cannot be read: {error}") from error
    if not token:
        raise Invalid("no_token", f"--url needs --token-file or ${TOKEN_VARIABLE}")
    return token
