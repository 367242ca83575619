"""The command line's words."""

import argparse
from pathlib import Path

from central_sync import VERSION
from central_sync.cli.enrolment_words import add_device, add_enrol_token
from central_sync.cli.importing_words import add_import
from central_sync.cli.people_words import add_token, add_user
from central_sync.cli.words import Parser, add_settings, verb

_EXIT_CODES = (
    "exit codes: 0 good; 1 a check found something; 2 wrong use or invalid settings; "
    "3 the address or the database cannot be had; 4 the database cannot be written any more"
)


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="central-sync", description="Holdfast's central service.", epilog=_EXIT_CODES)
    top.add_argument("--version", action="version", version=f"central-sync {VERSION}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(verb(commands, "run", "serve until stopped", "central-sync run --data /var/lib/central-sync"))
    add_token(commands)
    add_user(commands)
    add_enrol_token(commands)
    add_device(commands)
    _add_audit(
        verb(
            commands,
            "audit",
            "prove that the audit trail is whole",
            "central-sync audit verify --data /var/lib/holdfast-centre",
        )
    )
    _add_backup(commands)
    add_import(commands)
    check = verb(
        commands, "check", "check settings and database, change nothing", "central-sync check --json"
    )
    add_settings(check)
    openapi = verb(commands, "openapi", "print the API as OpenAPI 3.1", "central-sync openapi --markdown")
    openapi.add_argument("--markdown", action="store_true", help="print the reference page instead")
    completion = verb(
        commands,
        "completion",
        "print the script that completes command lines in bash, zsh or fish",
        "source <(central-sync completion bash)",
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"), help="whose script to print")
    return top


def _add_run(command: argparse.ArgumentParser) -> None:
    add_settings(command)
    command.add_argument("--listen", metavar="HOST:PORT", help="default 127.0.0.1:8080; port 0: a free one")
    command.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate chain (PEM)")
    command.add_argument("--tls-key", type=Path, metavar="FILE", help="private key (PEM)")
    command.add_argument("--behind-proxy", metavar="CIDR", help="network of the TLS proxy in front")
    command.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), help="least level that is logged"
    )


def _add_audit(command: Parser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    verify = verb(
        actions,
        "verify",
        "walk the chain and name the first entry that is wrong",
        "central-sync audit verify --checkpoint checkpoints.jsonl",
    )
    verify.add_argument(
        "--checkpoint", type=Path, action="append", default=[], metavar="FILE",
        help="statements that were kept elsewhere; may be given several times",
    )  # fmt: skip
    verify.add_argument(
        "--since", action="store_true", help="begin at the newest checkpoint instead of at the first entry"
    )
    verify.add_argument(
        "--key", action="append", default=[], metavar="KEY",
        help="a public key to trust beside this centre's own, as `audit key` prints it",
    )  # fmt: skip
    checkpoint = verb(
        actions,
        "checkpoint",
        "print a signed statement of the newest entry, to be kept elsewhere",
        "central-sync audit checkpoint >> /mnt/elsewhere/checkpoints.jsonl",
    )
    key = verb(actions, "key", "print the public key that checks checkpoints", "central-sync audit key")
    for action in (verify, checkpoint, key):
        add_settings(action)


def _add_backup(commands: "argparse._SubParsersAction[Parser]") -> None:
    backup = verb(
        commands,
        "backup",
        "copy the centre's data into one file, also while it runs",
        "central-sync backup /mnt/backup/centre-monday.db",
    )
    backup.add_argument("file", type=Path, metavar="FILE", help="what to write; it holds secrets")
    backup.add_argument("--force", action="store_true", help="replace FILE where it is there")
    restore = verb(
        commands,
        "restore",
        "put a backup in the place of the data; the centre must be stopped",
        "central-sync restore /mnt/backup/centre-monday.db --data /var/lib/holdfast-centre",
    )
    restore.add_argument("file", type=Path, metavar="FILE", help="a backup")
    restore.add_argument(
        "--force", action="store_true", help="although there are data; they are kept beside the restored ones"
    )
    for command in (backup, restore):
        add_settings(command)
