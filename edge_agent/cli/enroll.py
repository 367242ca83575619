"""`edge-agent enroll`: makes this device known to a centre."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from edge_agent.cli import config_path
from edge_agent.cli.context import Context, UsageError
from edge_agent.contracts.exit_codes import ExitCode

NAME: Final = "enroll"
HELP: Final = "make this device known to a centre, with a token of it or an operator's consent"
EXAMPLE: Final = "edge-agent enroll https://central.example.com --token-file token.txt"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", nargs="?", metavar="URL", help="address of the centre; default: the token's")
    config_path.add_argument(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--token", metavar="TOKEN", help="enrolment token; - reads it from the standard input")
    which.add_argument("--token-file", type=Path, metavar="FILE", help="file with the enrolment token")
    parser.add_argument(
        "--ca-file",
        type=Path,
        metavar="FILE",
        help="certificates to trust (PEM); default: the token names it",
    )
    parser.add_argument("--id", metavar="DEVICE", help="device id; it must be the config's agent.id")
    parser.add_argument("--serial", metavar="NUMBER", help="serial number, where the centre asks for it")
    parser.add_argument("--again", action="store_true", help="enrol a device anew that has a credential")
    parser.add_argument(
        "--wait", type=float, metavar="SECONDS", help="longest wait for an operator; default: no end"
    )
    parser.add_argument("--json", action="store_true", help="print {device, url, credential, expires, …}")


def run(args: argparse.Namespace, context: Context) -> int:
    import asyncio

    path = config_path.existing(args.config, context.environ)
    if config_path.is_pipe(path):
        raise UsageError("enroll needs a config in a file: name it with -c FILE")
    wish = context.app.enrolment_wish(
        url=args.url,
        token=_token(args, context),
        ca_file=args.ca_file,
        device=args.id,
        serial=args.serial,
        again=args.again,
        wait_seconds=args.wait,
    )
    enrolled = asyncio.run(context.app.enrol(path, wish, context.warn))
    if args.json:
        context.print_json(
            {
                "device": enrolled.device,
                "url": enrolled.url,
                "credential": enrolled.credential,
                "expires": enrolled.expires,
                "written": enrolled.written,
                "to_do": enrolled.to_do,
            }
        )
        return ExitCode.GOOD
    until = datetime.fromtimestamp(enrolled.expires / 1000, UTC)
    context.print(
        f"enrolled as {enrolled.device} at {enrolled.url}; the agent renews it before {until:%Y-%m-%d}"
    )
    for file in enrolled.written:
        context.print(f"wrote {file}")
    for line in enrolled.to_do:
        context.print(line)
    # A section `central` that is new takes effect with a start; a new credential alone needs none.
    needs_start = bool(enrolled.to_do) or str(path) in enrolled.written
    running = "restart an agent that runs" if needs_start else "an agent that runs takes it up by itself"
    context.print(f"next: edge-agent run -c {path}; {running}")
    return ExitCode.GOOD


def _token(args: argparse.Namespace, context: Context) -> str | None:
    if args.token == "-":  # noqa: S105
        return context.stdin.readline().strip() or None
    if args.token_file is not None:
        text: str = args.token_file.read_text(encoding="ascii", errors="replace").strip()
        return text
    token: str | None = args.token
    return token
