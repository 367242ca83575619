"""The kill suite and the power-cut suite can fail: each runs against mutants that break what it guards.

Each pair of a suite and a mutation is the least of the suite that must see it, with its own verdict in the
output: see `mutations`.
"""

from pathlib import Path

import pytest

from tests.crash.forms import size
from tests.crash.mutations import assert_caught, mutated, named, run_pytest

KILL_LOOPS = "tests/crash/test_kill_loops.py"
BUFFER_KILL = "tests/crash/test_agent_buffer_kill.py"
CENTRE_KILL = "tests/crash/test_central_kill.py"
HOOK_KILL = (
    "tests/crash/test_hook_kills.py"
    "::test_kills_of_workers_and_of_their_agent_lose_nothing_and_hook_nothing_twice"
)
POWER_CUT = "tests/crash/test_power_cut.py"
SECONDS = 150
# What the suites say, with their figures: their own source shows the words as well where they fail.
LOST = "AssertionError: kills lost or doubled something: "
# What will never come is not waited for: these find more than an account that stays open.
DRAIN_SECONDS = "15"
UNSTORED = r"acknowledged and not stored: \d"
# A cut may take the run itself with its record, where all that it had committed had been forwarded.
UNCOMMITTED = r"\d of \d+ committed samples|\d samples are missing, and its records bound them"

# (mutation, test, N, what the verdict says)
# Of the two that the kill loop catches the short form runs one.
KILL_LOOP_MUTANTS = (
    ("edge-acknowledges-before-commit", KILL_LOOPS, 8, f"{LOST}.*'losses': "),
    ("ring-not-written", KILL_LOOPS, 8, f"{LOST}(?!{{'not drained')"),
)
SPOILED = "hooks lost, doubled or spoiled something: "
HOOK_KILL_MUTANTS = (
    ("frames-of-a-killed-worker-dropped", HOOK_KILL, 1, rf"{SPOILED}.*(?: follows |\d of \d)"),
    ("failed-samples-not-marked", HOOK_KILL, 1, f"{SPOILED}.* are not marked"),
)
KILLS = (
    *KILL_LOOP_MUTANTS[: size(2, 1)],
    ("centre-answers-before-commit", CENTRE_KILL, 100, UNSTORED),
    *HOOK_KILL_MUTANTS[: size(2, 1)],
    ("hook-state-before-its-batch", BUFFER_KILL, 96, "broken: the count of a hook is"),
    ("failed-commit-hooks-again", BUFFER_KILL, 96, "broken: the count of a hook is"),
    ("frames-that-no-hook-saw-not-marked", BUFFER_KILL, 96, "broken: frame .* is neither hooked nor marked"),
)
AGENT_CUT = f"{POWER_CUT}::test_a_cut_of_the_agents_disk_takes_no_commit_and_hides_no_loss"
CENTRE_CUT = f"{POWER_CUT}::test_a_cut_of_the_centres_disk_takes_nothing_that_was_acknowledged"
CUTS = (
    ("edge-synchronous-normal", AGENT_CUT, 20, UNCOMMITTED),
    # A cut has to fall between the word and the commit: two of them may both miss it.
    ("edge-acknowledges-before-commit", AGENT_CUT, 60, UNCOMMITTED),
    ("centre-synchronous-normal", CENTRE_CUT, 50, UNSTORED),
    ("centre-answers-before-commit", CENTRE_CUT, 50, UNSTORED),
)


@pytest.mark.timeout(SECONDS + 30)
@pytest.mark.parametrize(("name", "test", "count", "verdict"), KILLS, ids=[name for name, *_ in KILLS])
def test_the_kill_suite_fails(tmp_path: Path, name: str, test: str, count: int, verdict: str) -> None:
    copy = mutated(tmp_path / "mutant", named(name))
    more = {"N": str(count), "HOLDFAST_DRAIN_SECONDS": DRAIN_SECONDS}
    assert_caught(run_pytest(copy, test, seconds=SECONDS, more=more), verdict, name)


@pytest.mark.root
@pytest.mark.timeout(SECONDS + 30)
@pytest.mark.parametrize(("name", "test", "count", "verdict"), CUTS, ids=[name for name, *_ in CUTS])
def test_the_power_cut_suite_fails(tmp_path: Path, name: str, test: str, count: int, verdict: str) -> None:
    copy = mutated(tmp_path / "mutant", named(name))
    assert_caught(run_pytest(copy, test, seconds=SECONDS, more={"N": str(count)}), verdict, name)
