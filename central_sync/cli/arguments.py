"""The command line's words."""

import argparse
from pathlib import Path

from central_sync import VERSION

_ROLES = ("admin", "operator", "viewer")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="central-sync", description="Holdfast's central service.")
    top.add_argument("--version", action="version", version=f"central-sync {VERSION}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="serve until stopped"))
    _add_token(commands.add_parser("token", help="create, list and revoke tokens"))
    check = commands.add_parser("check", help="check settings and database, change nothing")
    _add_settings(check)
    openapi = commands.add_parser("openapi", help="print the API as OpenAPI 3.1")
    openapi.add_argument("--markdown", action="store_true", help="print the reference page instead")
    return top


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
    command.add_argument("--log-level", choices=("debug", "info", "warning", "error"))


def _add_token(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="print a new token; it is shown this once")
    whom = create.add_mutually_exclusive_group(required=True)
    whom.add_argument("--role", choices=_ROLES, help="for a person or a program")
    whom.add_argument("--device", metavar="ID", help="for one device; registers it")
    listing = actions.add_parser("list", help="list tokens without their secrets")
    revoke = actions.add_parser("revoke", help="revoke a token; takes effect within a second")
    revoke.add_argument("id", metavar="ID", help="the token's id, or the whole token")
    for action in (create, listing, revoke):
        _add_settings(action)
