"""`edge-agent docs`: writes the sample files and reference pages that are generated from the code."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edge_agent.cli.context import Context
from edge_agent.cli.figures import plural
from edge_agent.contracts.exit_codes import ExitCode

NAME: Final = "docs"
HELP: Final = "generate the sample files and reference pages"
EXAMPLE: Final = "edge-agent docs --check"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", default=".", metavar="DIR", help="the checkout; default: here")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 on a difference")
    parser.add_argument("--json", action="store_true", help="print the list of files that differed")


def run(args: argparse.Namespace, context: Context) -> int:
    from edge_agent.cli.reference import PAGE, page

    root = Path(args.root)
    documents = {**context.app.generate_docs(), PAGE: page()}
    differing = _differing(documents, root)
    if not args.check:
        for name in differing:
            _write(root / name, documents[name])
    if args.json:
        context.print_json(differing)
    else:
        for name in differing:
            context.print(f"{name} {'differs' if args.check else 'written'}")
        context.print(f"{plural(len(documents), 'file')}, {len(differing)} of them differed")
    return ExitCode.FOUND if args.check and differing else ExitCode.GOOD


def _differing(documents: Mapping[str, str], root: Path) -> list[str]:
    return [name for name, text in sorted(documents.items()) if _content(root / name) != text]


def _content(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
