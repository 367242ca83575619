"""`import-edge-config`: what it does, and its exit codes."""

import argparse
import os
import sys
from typing import Any

import orjson

from central_sync.app import ExitCode, Invalid, importing
from central_sync.cli.importing_words import TOKEN_VARIABLE
from central_sync.cli.options import settings_of


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
