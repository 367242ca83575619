"""The command line's words."""

import argparse
from pathlib import Path
from typing import NoReturn

from central_sync import VERSION

_EXIT_CODES = (
    "exit codes: 0 good; 1 a check found something; 2 wrong use or invalid settings; "
    "3 the address or the database cannot be had; 4 the database cannot be written any more"
)
_ROLES = ("admin", "operator", "viewer")


class Parser(argparse.ArgumentParser):
    """Exits with 2 and one line where the arguments are wrong, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="central-sync", description="Holdfast's central service.", epilog=_EXIT_CODES)
    top.add_argument("--version", action="version", version=f"central-sync {VERSION}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(
        _command(commands, "run", "serve until stopped", "central-sync run --data /var/lib/central-sync")
    )
    _add_token(
        _command(
            commands, "token", "create, list and revoke tokens", "central-sync token create --device press-1"
        )
    )
    _add_audit(
        _command(
            commands,
            "audit",
            "prove that the audit trail is whole",
            "central-sync audit verify --data /var/lib/holdfast-centre",
        )
    )
    _add_backup(commands)
    check = _command(
        commands, "check", "check settings and database, change nothing", "central-sync check --json"
    )
    _add_settings(check)
    openapi = _command(commands, "openapi", "print the API as OpenAPI 3.1", "central-sync openapi --markdown")
    openapi.add_argument("--markdown", action="store_true", help="print the reference page instead")
    completion = _command(
        commands,
        "completion",
        "print the script that completes command lines in bash, zsh or fish",
        "source <(central-sync completion bash)",
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"), help="whose script to print")
    return top


def _command(commands: "argparse._SubParsersAction[Parser]", name: str, about: str, example: str) -> Parser:
    return commands.add_parser(
        name, help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=f"example: {example}"
    )


def _add_settings(command: argparse.ArgumentParser) -> None:
    command.add_argument("-c", "--config", type=Path, metavar="FILE", help="settings; flags override them")
    command.add_argument("--data", type=Path, metavar="DIR", help="directory of the database")
    command.add_argument("--json", action="store_true", help="print JSON")


def _add_run(command: argparse.ArgumentParser) -> None:
    _add_settings(command)
    command.add_argument("--listen", metavar="HOST:PORT", help="default 127.0.0.1:8080; port 0: a free one")
    command.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate chain (PEM)")
    command.add_argument("--tls-key", type=Path, metavar="FILE", help="private key (PEM)")
    command.add_argument("--behind-proxy", metavar="CIDR", help="network of the TLS proxy in front")
    command.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), help="least level that is logged"
    )


def _add_token(command: Parser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = _command(
        actions,
        "create",
        "print a new token; it is shown this once",
        "central-sync token create --role viewer",
    )
    whom = create.add_mutually_exclusive_group(required=True)
    whom.add_argument("--role", choices=_ROLES, help="for a person or a program")
    whom.add_argument("--device", metavar="ID", help="for one device; registers it")
    listing = _command(actions, "list", "list tokens without their secrets", "central-sync token list --json")
    revoke = _command(
        actions, "revoke", "revoke a token; takes effect within a second", "central-sync token revoke 3f9c2a"
    )
    revoke.add_argument("id", metavar="ID", help="the token's id, or the whole token")
    for action in (create, listing, revoke):
        _add_settings(action)


def _add_audit(command: Parser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    verify = _command(
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
    checkpoint = _command(
        actions,
        "checkpoint",
        "print a signed statement of the newest entry, to be kept elsewhere",
        "central-sync audit checkpoint >> /mnt/elsewhere/checkpoints.jsonl",
    )
    key = _command(actions, "key", "print the public key that checks checkpoints", "central-sync audit key")
    for action in (verify, checkpoint, key):
        _add_settings(action)


def _add_backup(commands: "argparse._SubParsersAction[Parser]") -> None:
    backup = _command(
        commands,
        "backup",
        "copy the centre's data into one file, also while it runs",
        "central-sync backup /mnt/backup/centre-monday.db",
    )
    backup.add_argument("file", type=Path, metavar="FILE", help="what to write; it holds secrets")
    backup.add_argument("--force", action="store_true", help="replace FILE where it is there")
    restore = _command(
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
        _add_settings(command)
