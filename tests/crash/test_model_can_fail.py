"""The simulation and the model can fail: each seeded fault that is theirs breaks an invariant of them.

The histories are fixed ones that meet the fault. Where a change of the product or of the simulation makes
one miss it, look for another: `mutations.mutated`, then `N=50 python -m tests.simulation 1` against it.
"""

from pathlib import Path
from typing import Final

import pytest

from tests.crash.forms import LONG
from tests.crash.mutations import (
    Outcome,
    assert_caught,
    mutated,
    named,
    of_suite,
    run_module,
    run_pytest,
    unmutated,
)

SECONDS: Final = 55
# What the judge says, or the product of itself; not that the simulation failed.
VIOLATED: Final = r"violated: (?!stuck|\w+Error)"
MODEL: Final = "tests/property/test_holdfast_model.py"

# Steps and seeds of `tests.simulation`; the later seeds are for when a change makes the first one miss.
HISTORIES: Final = {
    "edge-acknowledges-before-commit": (4, 188, 1286),
    "ring-released-before-commit": (5, 9, 50, 147),
    "ring-not-written": (4, 188, 1286),
    "ring-replayed-twice": (5, 8, 29, 38),
    "epoch-goes-on-after-another-boot": (6, 541, 1138, 1488),
    "conflict-not-compared": (8, 139, 142, 170),
    "names-not-deduplicated": (5, 114, 403),
    "settled-on-send": (4, 70),
    "partial-answer-taken-as-whole": (4, 70),
    "answer-of-another-epoch-trusted": (8, 398, 903, 2695),
    "floor-above-what-is-held": (4, 70, 305),
    "resend-ignored": (5, 58, 1837, 2447),
    "resend-not-asked-for": (5, 58, 1837, 2447),
    "unknown-schema-acknowledged": (4, 70),
    "loss-record-outside-the-transaction": (6, 267, 3, 86),
    "forgotten-without-a-record": (6, 267, 3, 86),
    "power-cut-not-recorded": (6, 541, 1138),
    "pruned-before-delivered": (8, 3566, 6904, 7453),
    "failed-commit-drops-newer-frames": (8, 260, 677, 700),
    "failed-commit-reverses-order": (8, 260, 677, 700),
    "batch-between-the-lanes": (4, 70, 305),
    "backlog-first": (4, 70, 305),
}
# In CI, one of each kind: `make crash` runs all.
SHORT: Final = {
    "edge-acknowledges-before-commit",
    "ring-replayed-twice",
    "epoch-goes-on-after-another-boot",
    "names-not-deduplicated",
    "partial-answer-taken-as-whole",
    "resend-ignored",
    "loss-record-outside-the-transaction",
    "failed-commit-reverses-order",
    "backlog-first",
}


def simulated(directory: Path, seed: int, steps: int) -> Outcome:
    """One history, whatever N the whole run has."""
    arguments = (str(seed), str(steps))
    return run_module(directory, "tests.simulation", *arguments, seconds=SECONDS, more={"N": "1"})


@pytest.mark.parametrize("name", [name for name in HISTORIES if LONG or name in SHORT])
def test_the_simulation_catches(name: str, tmp_path: Path) -> None:
    mutant = mutated(tmp_path, named(name))
    steps, *seeds = HISTORIES[name]
    outcomes = (simulated(mutant, seed, steps) for seed in seeds)
    caught = next((outcome for outcome in outcomes if outcome.code != 0), None)
    assert caught is not None, f"{name}: not caught by {seeds}"
    assert_caught(caught, VIOLATED, name)


def test_without_a_fault_the_same_histories_are_well(tmp_path: Path) -> None:
    copy = unmutated(tmp_path)
    for name in ("backlog-first", "forgotten-without-a-record", "failed-commit-reverses-order"):
        steps, seed, *_ = HISTORIES[name]
        outcome = simulated(copy, seed, steps)
        assert outcome.code == 0, outcome.output[-4000:]


@pytest.mark.parametrize("name", [mutation.name for mutation in of_suite("model")])
def test_the_model_catches(name: str, tmp_path: Path) -> None:
    """Its examples are new each time; these faults are met by nearly every one. Without shrinking."""
    mutant = mutated(tmp_path, named(name))
    more = {"N": "20", "HOLDFAST_NO_SHRINKING": "1"}
    assert_caught(run_pytest(mutant, MODEL, seconds=SECONDS, more=more), "Violated: ", name)


def test_each_history_is_of_a_fault_that_the_simulation_must_catch() -> None:
    assert HISTORIES.keys() == {mutation.name for mutation in of_suite("simulation")}
    assert HISTORIES.keys() >= SHORT
