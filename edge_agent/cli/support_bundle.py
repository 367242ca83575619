"""`edge-agent support-bundle`: one archive with what a maintainer needs, without secrets and values."""

import argparse
from pathlib import Path
from typing import Final

from edge_agent.cli import config_path, figures
from edge_agent.cli.context import Context
from edge_agent.cli.text import Palette, printable, table
from edge_agent.contracts.exit_codes import ExitCode

NAME: Final = "support-bundle"
HELP: Final = "collect what a maintainer needs into one archive, with secrets removed and without values"
EXAMPLE: Final = "edge-agent support-bundle --out bundle.tar.gz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    config_path.add_argument(parser)
    parser.add_argument(
        "--out", metavar="FILE", help="the archive to write; default: here, named by device and time"
    )
    parser.add_argument(
        "--without-doctor", action="store_true", help="leave out its examination, which takes the longest"
    )
    parser.add_argument("--json", action="store_true", help="print what is in it as JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    import asyncio

    path = config_path.existing(args.config, context.environ)
    out, packed = asyncio.run(
        context.app.bundle(path, Path(args.out) if args.out else None, doctor=not args.without_doctor)
    )
    if args.json:
        sizes = {"file": str(out), "bytes": packed.size_bytes}
        context.print_json({**sizes, "files": packed.files, "left_out": packed.left_out})
        return ExitCode.GOOD
    palette = Palette(context.colours)
    rows = [[str(each["name"]), figures.size(each["bytes"]), str(each["about"])] for each in packed.files]
    for line in table(("file", "size", "what it is"), rows, {"size"}, palette):
        context.print(line)
    for each in packed.left_out:
        context.print(palette.paint(printable(f"without {each['name']}: {each['why']}"), "dim"))
    context.print(f"{printable(str(out))}: {figures.size(packed.size_bytes)}")
    context.print("Secrets are masked and no values of tags are in it. Look through it before you send it.")
    return ExitCode.GOOD
