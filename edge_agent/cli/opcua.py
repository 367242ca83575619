"""`edge-agent opcua`: which servers this agent trusts. Works beside a running agent, whose next connecting
takes what was changed."""

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from edge_agent.cli import config_path
from edge_agent.cli.context import Context, TrustLists
from edge_agent.cli.text import Palette, printable, table
from edge_agent.contracts.exit_codes import ExitCode

NAME: Final = "opcua"
HELP: Final = "show and change which OPC UA servers are trusted"
EXAMPLE: Final = "edge-agent opcua trust list"

_ABOUT: Final = {
    "list": "show the agent's own certificate, and the trusted and the refused ones",
    "accept": "trust a server that was refused",
    "reject": "trust a server no more",
}
_HEAD: Final = ("list", "thumbprint", "subject", "application", "until")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(
        dest="opcua_command", metavar="COMMAND", required=True, help="what to do with it"
    )
    about = "show and change the lists of certificates"
    trust = commands.add_parser(
        "trust", help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=f"example: {EXAMPLE}"
    )
    actions = trust.add_subparsers(
        dest="trust_command", metavar="COMMAND", required=True, help="what to do with them"
    )
    for name, about in _ABOUT.items():
        shown = "" if name == "list" else " 3F2504E04F8911D39A0C0305E82C3301AABBCCDD"
        child = actions.add_parser(
            name, help=about, description=f"{about[0].upper()}{about[1:]}.",
            epilog=f"example: edge-agent opcua trust {name}{shown}",
        )  # fmt: skip
        config_path.add_argument(child)
        if name != "list":
            child.add_argument(
                "thumbprint", metavar="THUMBPRINT", help="of the certificate, or its first 8 digits"
            )
        child.add_argument("--json", action="store_true", help="print the certificates as JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    lists = context.app.trust_lists(config_path.existing(args.config, context.environ))
    if args.trust_command == "list":
        return _list(lists, context, as_json=args.json)
    accepting = args.trust_command == "accept"
    found = lists.accept(args.thumbprint) if accepting else lists.reject(args.thumbprint)
    if args.json:
        context.print_json(found)
    else:
        what = "trusted" if accepting else "not trusted"
        context.print(
            f"{what} from the next connecting on: {found['thumbprint']}  {_plain(found['subject'])}"
        )
    return ExitCode.GOOD


def _list(lists: TrustLists, context: Context, *, as_json: bool) -> int:
    found = lists.shown()
    if as_json:
        context.print_json(found)
        return ExitCode.GOOD
    for line in render(found, context.wall_ms(), Palette(context.colours)):
        context.print(line)
    if not found:
        context.print(f"there are no certificates in {lists.directory} yet: a secured connection makes one")
    return ExitCode.GOOD


def render(found: Sequence[Mapping[str, Any]], now_ms: int, palette: Palette) -> list[str]:
    """A line for each certificate."""
    if not found:
        return []
    rows = [
        [
            str(each["list"]), str(each["thumbprint"]), _plain(each["subject"]),
            _plain(each["application_uri"]), _until(each, now_ms),
        ]
        for each in found
    ]  # fmt: skip
    return table(_HEAD, rows, (), palette)


def _until(each: Mapping[str, Any], now_ms: int) -> str:
    day = f"{datetime.fromtimestamp(each['not_after'] / 1000, UTC):%Y-%m-%d}"
    if now_ms > each["not_after"]:
        return f"{day} (expired)"
    return f"{day} (not yet valid)" if now_ms < each["not_before"] else day


def _plain(text: str) -> str:
    return printable(text) or "–"
