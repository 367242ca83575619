"""Mutants: copies of the packages with one seeded fault each, to prove that the suites can fail.

A mutant is a directory with `edge_agent` and `central_sync`, in one file of which an exact text is replaced
by a wrong one. Product code has no hooks for this. A suite runs against a mutant as a child process
(`run_pytest`, `run_module`) and must fail with a message of its own (`assert_caught`): an import error, a
time-out or a traceback from elsewhere proves nothing. tests/unit/test_mutations.py checks that each text
is still there exactly once, that each mutant is valid Python, and that the copy wins over the installation.

`suites` are those that were seen to catch the mutation: `simulation` (tests.simulation), `model`
(tests/property/test_holdfast_model.py), `kill` and `power-cut` (tests/crash).
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.crash.mutation_table import MUTATIONS, Mutation

__all__ = ["MUTATIONS", "Mutation", "Outcome", "assert_caught", "mutated", "of_suite", "unmutated"]

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("edge_agent", "central_sync")
# What a child prints where it never came to judge anything.
_NO_VERDICT: Final = re.compile(
    r"ImportError|ModuleNotFoundError|SyntaxError|IndentationError|errors? during collection|Timeout \("
)


def of_suite(suite: str) -> list[Mutation]:
    """The mutations that a suite must catch."""
    return [mutation for mutation in MUTATIONS if suite in mutation.suites]


def named(name: str) -> Mutation:
    return next(mutation for mutation in MUTATIONS if mutation.name == name)


def replaced(text: str, mutation: Mutation) -> str:
    """`text` with the fault in it. Fails where the old text is not there exactly once."""
    found = text.count(mutation.old)
    assert found == 1, (
        f"{mutation.name}: its text is {found} times in {mutation.path}: bring the table up to date"
    )
    return text.replace(mutation.old, mutation.new)


def unmutated(directory: Path) -> Path:
    """A copy without a fault: what a suite must pass. Returns `directory`."""
    for package in PACKAGES:
        # Times are kept, so that compiled files stay valid.
        shutil.copytree(ROOT / package, directory / package)
    return directory


def mutated(directory: Path, mutation: Mutation) -> Path:
    """The packages with one fault, copied into `directory`, which is returned: see `environment`."""
    source = unmutated(directory) / mutation.path
    text = replaced(source.read_text(encoding="utf-8"), mutation)
    source.write_text(text, encoding="utf-8")
    for compiled in (source.parent / "__pycache__").glob(f"{source.stem}.*.pyc"):
        compiled.unlink()
    return directory


def environment(directory: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of a child that takes both packages from `directory`, and the tests from here.

    PYTHONSAFEPATH: else the working directory would come first for `python -m`; grandchildren inherit it.
    """
    path = os.pathsep.join([str(directory), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", **(more or {})}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child ended. code: None where its time was over."""

    code: int | None
    output: str


def run(
    directory: Path, arguments: Sequence[str], seconds: float, more: Mapping[str, str] | None = None
) -> Outcome:
    """Runs `python ARGUMENTS` against the copy in `directory`, as the leader of a group that ends with it."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(directory, more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            output, _ = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 9)
            output, _ = child.communicate()
            return Outcome(None, output)
        return Outcome(child.returncode, output)


def run_module(
    directory: Path, module: str, *arguments: str, seconds: float, more: Mapping[str, str] | None = None
) -> Outcome:
    """`python -m MODULE ARGUMENTS` against the copy. more: environment variables besides."""
    return run(directory, ["-m", module, *arguments], seconds, more)


def run_pytest(
    directory: Path, *nodes: str, seconds: float, more: Mapping[str, str] | None = None
) -> Outcome:
    """`pytest NODES` against the copy: without the ini's `pythonpath`, which would put this tree first."""
    options = ["-o", "pythonpath=", "-p", "no:cacheprovider", "-q", "-x"]
    return run(directory, ["-m", "pytest", *options, *nodes], seconds, more)


def where_packages_are(directory: Path) -> list[Path]:
    """The directories that a child of `environment` imports the packages from."""
    shown = ", ".join(f"{name}.__file__" for name in PACKAGES)
    found = run(directory, ["-c", f"import {', '.join(PACKAGES)}; print({shown}, sep='\\n')"], 30)
    assert found.code == 0, found.output
    return [Path(line).parents[1] for line in found.output.splitlines()]


def assert_caught(outcome: Outcome, reason: str, name: str = "the mutant") -> None:
    """The suite failed (exit code 1) and said why: `reason` is a regular expression of its own message."""
    shown = outcome.output[-4000:]
    assert outcome.code is not None, f"{name}: the suite did not end in time\n{shown}"
    assert outcome.code == 1, f"{name}: not caught, exit code {outcome.code}\n{shown}"
    assert re.search(reason, outcome.output), f"{name}: failed for another reason than {reason!r}\n{shown}"
    assert not _NO_VERDICT.search(outcome.output), f"{name}: the suite never came to judge\n{shown}"
