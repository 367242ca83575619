"""The words of `central-sync token` and `central-sync user`."""

import argparse
import re
from typing import Final

from central_sync.cli.words import Parser, add_settings, verb

_ROLES: Final = ("admin", "engineer", "operator", "viewer")
_SPAN: Final = re.compile(r"([0-9]{1,5})([hd])")
_HOURS: Final = {"h": 1, "d": 24}


def _span(text: str) -> int:
    """Milliseconds of `12h` or `90d`."""
    match = _SPAN.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no span such as 12h or 90d")
    return int(match[1]) * _HOURS[match[2]] * 3_600_000


def add_token(commands: "argparse._SubParsersAction[Parser]") -> None:
    token = verb(
        commands, "token", "create, list and revoke tokens", "central-sync token create --device press-1"
    )
    actions = token.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = verb(
        actions,
        "create",
        "print a new token; it is shown this once",
        "central-sync token create --role viewer --name report --expires 90d --area values:read",
    )
    whom = create.add_mutually_exclusive_group(required=True)
    whom.add_argument("--role", choices=_ROLES, help="for a program")
    whom.add_argument("--device", metavar="ID", help="for one device; registers it")
    create.add_argument("--name", default="", help="what it is for")
    create.add_argument("--expires", type=_span, metavar="SPAN", help="after 12h, 90d, …; absent: never")
    _add_labels(create)
    create.add_argument(
        "--area", action="append", default=[], metavar="AREA",
        help="only this part of the API, such as devices:read or commands:write; may be given several times",
    )  # fmt: skip
    listing = verb(actions, "list", "list tokens without their secrets", "central-sync token list --json")
    revoke = verb(
        actions,
        "revoke",
        "revoke a token; acts on the next request",
        "central-sync token revoke 3f9c2a",
    )
    revoke.add_argument("id", metavar="ID", help="the token's id, or the whole token")
    for action in (create, listing, revoke):
        add_settings(action)


def add_user(commands: "argparse._SubParsersAction[Parser]") -> None:
    user = verb(
        commands,
        "user",
        "create and manage the people who log in",
        "central-sync user create kim --role engineer",
    )
    actions = user.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = verb(
        actions,
        "create",
        "make a user and print a one-time link for him to set his password",
        "central-sync user create kim --role engineer --name 'Kim Min' --url https://fleet.example.com",
    )
    create.add_argument("--role", choices=_ROLES, required=True, help="what he may do")
    create.add_argument("--name", default="", help="his name")
    _add_labels(create)
    _add_stdin(create)
    _add_url(create)
    listing = verb(actions, "list", "list users", "central-sync user list --json")
    disable = verb(
        actions, "disable", "end a user's sessions and let him in no more", "central-sync user disable kim"
    )
    enable = verb(actions, "enable", "let a disabled user in again", "central-sync user enable kim")
    password = verb(
        actions,
        "set-password",
        "set a user's password; ends his sessions and a lock-out of his account",
        "central-sync user set-password kim",
    )
    _add_stdin(password)
    role = verb(actions, "set-role", "change a user's role", "central-sync user set-role kim operator")
    link = verb(
        actions,
        "setup-link",
        "print a one-time link to set a password; without LOGIN for the first admin",
        "central-sync user setup-link kim --url https://fleet.example.com",
    )
    _add_url(link)
    for action in (create, disable, enable, password, role):
        action.add_argument("login", metavar="LOGIN", help="the name that he logs in with")
    link.add_argument("login", metavar="LOGIN", nargs="?", help="whose password; absent: the first admin's")
    role.add_argument("role", choices=_ROLES, help="what he may do")
    for action in (create, listing, disable, enable, password, role, link):
        add_settings(action)


def _add_labels(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--label", action="append", default=[], metavar="KEY=VALUE",
        help="only devices with this label in the registry; several must all be carried",
    )  # fmt: skip


def _add_stdin(action: argparse.ArgumentParser) -> None:
    action.add_argument("--password-stdin", action="store_true", help="read the password from the input")


def _add_url(action: argparse.ArgumentParser) -> None:
    action.add_argument("--url", metavar="URL", help="the centre's address, to print the whole link")
