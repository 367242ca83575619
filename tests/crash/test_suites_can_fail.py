"""The kill suite and the power-cut suite can fail: each runs against mutants that break what it guards.

Each pair of a suite and a mutation is the least of the suite that must see it, with its own verdict in the
output: see `mutations`.
"""

from pathlib import Path

import pytest

from tests.crash.mutations import assert_caught, mutated, named, run_pytest

KILL_LOOPS = "tests/crash/test_kill_loops.py"
CENTRE_KILL = "tests/crash/test_central_kill.py"
POWER_CUT = "tests/crash/test_power_cut.py"
SECONDS = 150

# (mutation, test, N, what the verdict says)
KILLS = (
    ("edge-acknowledges-before-commit", KILL_LOOPS, 8, r"broken_promises|holes|uncovered|short"),
    ("centre-answers-before-commit", CENTRE_KILL, 100, "acknowledged and not stored"),
    ("ring-not-written", KILL_LOOPS, 8, r"assert .*\(0, 0, 0, \[|holes|short"),
)
AGENT_CUT = f"{POWER_CUT}::test_a_cut_of_the_agents_disk_takes_no_commit_and_hides_no_loss"
CENTRE_CUT = f"{POWER_CUT}::test_a_cut_of_the_centres_disk_takes_nothing_that_was_acknowledged"
CUTS = (
    ("edge-synchronous-normal", AGENT_CUT, 30, "committed samples"),
    ("edge-acknowledges-before-commit", AGENT_CUT, 30, "committed samples"),
    ("centre-synchronous-normal", CENTRE_CUT, 50, "acknowledged and not stored"),
    ("centre-answers-before-commit", CENTRE_CUT, 50, "acknowledged and not stored"),
)


@pytest.mark.timeout(SECONDS + 30)
@pytest.mark.parametrize(("name", "test", "count", "verdict"), KILLS, ids=lambda value: str(value)[:60])
def test_the_kill_suite_fails(tmp_path: Path, name: str, test: str, count: int, verdict: str) -> None:
    copy = mutated(tmp_path / "mutant", named(name))
    assert_caught(run_pytest(copy, test, seconds=SECONDS, more={"N": str(count)}), verdict, name)


@pytest.mark.root
@pytest.mark.timeout(SECONDS + 30)
@pytest.mark.parametrize(("name", "test", "count", "verdict"), CUTS, ids=lambda value: str(value)[:60])
def test_the_power_cut_suite_fails(tmp_path: Path, name: str, test: str, count: int, verdict: str) -> None:
    copy = mutated(tmp_path / "mutant", named(name))
    assert_caught(run_pytest(copy, test, seconds=SECONDS, more={"N": str(count)}), verdict, name)
