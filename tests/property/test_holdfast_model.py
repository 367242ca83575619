"""Buffer, uplink and centre against a model of every frame, in whatever order hypothesis finds.

The engine is that of tests/simulation: real parts, virtual time. Here hypothesis chooses what happens and
shrinks what fails. `N=500 pytest tests/property/test_holdfast_model.py` runs as many examples.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.simulation.link import KINDS
from tests.simulation.world import World

EXAMPLES = int(os.environ.get("N", "8"))
# To shrink is of use to a person alone.
PHASES = (
    [Phase.generate] if "HOLDFAST_NO_SHRINKING" in os.environ else [Phase.reuse, Phase.generate, Phase.shrink]
)
SHARED_MEMORY = Path("/dev/shm")


class Holdfast(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 1 << 16), retain=st.sampled_from([0.0, 30.0, 3600.0]))
    def begin(self, seed: int, retain: float) -> None:
        place = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
        self.directory = Path(tempfile.mkdtemp(prefix="holdfast-model-", dir=place))
        self.log: list[str] = []
        self.world = World(seed, self.directory, self.log.append)
        self.world.edge.retain_seconds = retain

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.world.finish()
        finally:
            self.world.close()
            shutil.rmtree(self.directory)

    @rule(seconds=st.sampled_from([0.5, 4.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    # --- acknowledgements lost, repeated, late, of somebody else --------------------------------------

    @rule(kind=st.sampled_from(sorted(KINDS)), seconds=st.sampled_from([4.0, 20.0]))
    def the_network_is(self, kind: str, seconds: float) -> None:
        self.world.set_weather(kind)
        self.world.pass_time(seconds)

    @rule(seconds=st.sampled_from([5.0, 40.0]))
    def the_centre_is_out_of_reach(self, seconds: float) -> None:
        self.world.outage(seconds)

    # --- crashes -----------------------------------------------------------------------------------------

    @rule(trap=st.sampled_from([None, (1, True), (2, True), (2, False)]))
    def the_agent_is_killed(self, trap: tuple[int, bool] | None) -> None:
        self.world.kill_agent(trap)

    @rule(calls=st.integers(1, 4), made=st.booleans())
    def the_agent_dies_at_a_commit(self, calls: int, made: bool) -> None:
        self.world.trap_agent(calls, made=made)
        self.world.pass_time(10.0)

    @rule(reboot=st.booleans())
    def the_agent_is_stopped(self, reboot: bool) -> None:
        self.world.stop_agent(reboot=reboot)

    @rule()
    def the_disk_is_copied(self) -> None:
        self.world.copy_disk()

    @rule(lying=st.booleans())
    def the_power_is_cut(self, lying: bool) -> None:
        self.world.cut_power(lying=lying)

    @rule()
    def the_database_is_lost(self) -> None:
        self.world.lose_database()

    @rule()
    def an_old_database_is_put_back(self) -> None:
        self.world.put_old_database_back()

    @rule(seconds=st.sampled_from([3.0, 15.0]), landing=st.booleans())
    def commits_fail(self, seconds: float, landing: bool) -> None:
        self.world.disk_fails(seconds, landing=landing)

    @rule(seconds=st.sampled_from([0.02, 1.5]))
    def a_commit_takes(self, seconds: float) -> None:
        self.world.disk_is(seconds)

    @rule(which=st.sampled_from([(0, 1, 2), (0, 3), (0, 1, 4), (4,)]))
    def the_groups_are(self, which: tuple[int, ...]) -> None:
        self.world.change_config(which)

    @rule(hours=st.sampled_from([-24, -1, 1, 24]))
    def the_clock_steps(self, hours: int) -> None:
        self.world.step_clock(hours * 3_600_000)

    # --- the centre --------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 10.0]), killed=st.booleans())
    def the_centre_is_away(self, seconds: float, killed: bool) -> None:
        if killed:
            self.world.kill_centre(seconds)
        else:
            self.world.stop_centre(seconds)

    @rule()
    def the_centre_is_backed_up(self) -> None:
        self.world.back_up_centre()

    @rule()
    def the_centre_is_restored(self) -> None:
        self.world.restore_centre()

    @rule()
    def the_centre_is_wiped(self) -> None:
        self.world.wipe_centre()


TestHoldfast = pytest.mark.timeout(0 if "N" in os.environ else 60)(Holdfast.TestCase)
TestHoldfast.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=15,
    deadline=None,
    phases=PHASES,
    suppress_health_check=list(HealthCheck),
)
