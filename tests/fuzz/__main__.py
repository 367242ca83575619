"""`python -m tests.fuzz NAME … --for 1800`: fuzzes decoders. Exit code 1 where something was found."""

import argparse
import sys
from pathlib import Path
from typing import Final

from tests.fuzz.run import best_engine, fuzz
from tests.fuzz.targets import load, names

_OUT: Final = Path("build/fuzz")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"targets; default: all: {', '.join(names())}"
    )
    parser.add_argument("--for", dest="seconds", type=float, default=60.0, help="seconds for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=_OUT, help="directory for findings")
    parser.add_argument("--engine", choices=("atheris", "mutation"), default=best_engine())
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="give one target a finding's bytes")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    chosen = arguments.names or list(names())
    if arguments.repeat is not None:
        load(chosen[0]).function(arguments.repeat.read_bytes())
        return 0
    unknown = sorted(set(chosen) - set(names()))
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are: {', '.join(names())}", file=sys.stderr)
        return 2
    found = False
    for name in chosen:
        result = fuzz(name, arguments.seconds, arguments.seed, arguments.out, arguments.engine)
        print(result, flush=True)
        for path in result.findings:
            found = True
            print(f"  {path}; repeat: python -m tests.fuzz {name} --repeat {path}", flush=True)
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
