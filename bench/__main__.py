"""`python -m bench [NAME…]` measures; `python -m bench report RESULTS.jsonl` writes docs/performance.md;
`python -m bench fleet --agents N --for 120s [--samples 200 --every 10s]` tries one size of a fleet.

Exit codes: 0 measured; 1 a figure could not be measured, or with --quick a ratio is far above the stored
one; 2 wrong use.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TextIO

from bench import machine, ratios, report
from bench.figure import Figure, Order, Outcome, line, progress
from bench.figures import fleet
from bench.registry import FIGURES, chosen
from edge_agent.contracts.errors import NotConnected
from edge_agent.demo.children import StartFailed

# Not in /tmp, which may be memory: commits and bytes written to flash are part of the figures.
SCRATCH: Final = machine.ROOT / "build" / "bench"
# What a plant or a peer that does not work ends with; the other figures are measured all the same.
_FAULTS: Final = (OSError, RuntimeError, ValueError, StartFailed, NotConnected)


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["report"]:
        return report.run(words[1:])
    if words[:1] == ["fleet"]:
        return fleet.command(words[1:])
    args = _parser().parse_args(words)
    if args.list:
        print("\n".join(figure.name for figure in FIGURES))
        return 0
    try:
        figures = chosen(args.names, quick=args.quick)
    except KeyError as error:
        print(f"bench: no figure is called {error.args[0]}; see `python -m bench --list`", file=sys.stderr)
        return 2
    with args.out.open("a") if args.out else sys.stdout as stream:
        outcomes, failed = _measure(figures, args, stream)
    worse = ratios.regressions(outcomes, ratios.stored()) if args.quick else []
    for text in worse:
        print(f"bench: {text}", file=sys.stderr)
    return 1 if failed or worse else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures the figures.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which figures; default: all")
    parser.add_argument("--list", action="store_true", help="print the names of the figures")
    parser.add_argument("--quick", action="store_true", help="short; compares ratios with those stored")
    parser.add_argument("--seconds", type=float, help="how long each figure is measured")
    parser.add_argument("--out", type=Path, metavar="FILE", help="append the JSON lines here; default: print")
    return parser


def _measure(
    figures: Sequence[Figure], args: argparse.Namespace, stream: TextIO
) -> tuple[list[Outcome], bool]:
    """What came out, and whether a figure failed: the others are measured all the same."""
    where = machine.describe()
    outcomes: list[Outcome] = []
    failed = False
    for figure in figures:
        seconds = args.seconds or (figure.quick_seconds if args.quick else None) or figure.seconds
        print(f"{figure.name}: {seconds:g} s", file=sys.stderr, flush=True)
        begin = time.monotonic()
        found = _attempt(figure, seconds, quick=args.quick)
        failed = failed or not found
        for outcome in found:
            took = time.monotonic() - begin
            print(line(outcome, where, took).decode(), file=stream, flush=True)
            progress(_summary(outcome))
        outcomes += found
    return outcomes, failed


def _attempt(figure: Figure, seconds: float, *, quick: bool) -> Sequence[Outcome]:
    SCRATCH.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=f"{figure.name}-", dir=SCRATCH))
    try:
        found = asyncio.run(_run(figure, Order(seconds, quick, directory)))
    except _FAULTS as error:
        progress(f"FAILED: {type(error).__name__}: {error}; logs are in {directory}")
        return []
    shutil.rmtree(directory)
    return found


async def _run(figure: Figure, order: Order) -> Sequence[Outcome]:
    return await figure.run(order)


def _summary(outcome: Outcome) -> str:
    verdict = {True: "met", False: "NOT MET", None: "no goal"}[outcome.met]
    text = f"{outcome.name} = {outcome.value} {outcome.unit} ({outcome.goal or 'measured'}: {verdict})"
    if outcome.beside is not None:
        text += f"; {outcome.beside.what}: {outcome.beside.value}, ratio {outcome.beside.ratio}"
    return text


if __name__ == "__main__":
    sys.exit(main())
