"""Scripts taken up, changed and ended: the room against a stage and a store that only note."""

import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from edge_agent.app.compiled import Compiled, compile_file
from edge_agent.app.hook_sources import Sources
from edge_agent.app.hooks import FLUSH_SECONDS, HookRoom, failing
from edge_agent.contracts.errors import ConfigError
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire.messages import HookReport, HooksReport
from edge_agent.wire.scripts import HookPoint, OnFailure, Script

GOOD = 'OUTPUTS = {"f": "float32"}\ndef transform(frame):\n    frame["f"] = 1\n'
Write = Callable[..., Compiled]


class Noted:
    """A store and its stage: what was done to them, in order."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.hooks: Any = None
        self.hook_seconds = 99.0
        self.hook_states: Mapping[str, bytes] = {"oil": b"{}"}
        self.patterns: Mapping[str, bool] = {}
        self.scripts: list[str] = []
        self.state = "running"

    # The store.
    async def flush(self) -> None:
        self.done.append(("flush", self.hook_seconds))

    def keep_failing(self, patterns: Mapping[str, bool]) -> None:
        self.done.append(dict(patterns))

    # The stage.
    def failed(self) -> Mapping[str, bool]:
        return self.patterns

    async def replace(self, scripts: Sequence[Script], require: Collection[str], call_seconds: float) -> None:
        self.scripts = [script.name for script in scripts]
        self.patterns = failing(scripts)
        self.done.append((self.scripts, list(require), call_seconds))

    async def close(self) -> None:
        self.done.append("close")

    def report(self) -> HooksReport:
        hooks = [HookReport(name=name, hook_type="transform", state=self.state) for name in self.scripts]
        return HooksReport(hooks=hooks, layers={"seccomp": "on"})

    def types(self) -> Any:
        def made(clock: object, sources: object, states: Mapping[str, bytes]) -> "Noted":
            self.done.append(("made", dict(states)))
            return self

        return made, Sources


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def room(noted: Noted) -> HookRoom:
    return HookRoom(noted, ManualClock(), 1.0, noted.types)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """(require, sources by name) → the config with these scripts."""

    def call(require: str = "[]", **scripts: str) -> Compiled:
        lines = ["agent: {id: a}", "hooks:", f"  require: {require}", "  scripts:" if scripts else ""]
        for name, source in scripts.items():
            (tmp_path / f"{name}.py").write_text(source)
            lines.append(f"    - {{name: {name}, point: transform, groups: [{name}.*], file: {name}.py}}")
        path = tmp_path / "edge-agent.yaml"
        path.write_text("\n".join(lines))
        return compile_file(path)

    return call


def sent(name: str, source: str = GOOD, **more: Any) -> Script:
    return Script(name=name, hook_type=HookPoint.TRANSFORM, source=source, version=3, **more)


async def test_without_scripts_nothing_is_made_and_a_flush_asks_nobody(
    noted: Noted, room: HookRoom, write: Write
) -> None:
    await room.boot(write(), list)
    assert noted.done == []
    assert noted.hooks is None
    assert room.report() is None
    assert room.schemas() == []
    assert room.quality_before("oil", "g") == ""
    await room.close()


async def test_a_boot_takes_local_scripts_first_and_keeps_their_groups_before_they_run(
    noted: Noted, room: HookRoom, write: Write
) -> None:
    await room.boot(write("[seccomp]", oil=GOOD), list, [sent("water", groups=["w.*"])])
    assert noted.done == [
        ("made", {"oil": b"{}"}),
        {"oil.*": False, "w.*": False},
        (["oil", "water"], ["seccomp"], 0.25),
        {"oil.*": False, "w.*": False},
    ]
    assert noted.hooks is noted


async def test_a_boot_does_not_wait_for_a_compiler(noted: Noted, room: HookRoom, write: Write) -> None:
    await room.boot(write(oil="x = = 1"), list)
    assert noted.scripts == ["oil"]


async def test_a_change_is_flushed_before_and_both_sets_of_groups_are_kept_meanwhile(
    noted: Noted, room: HookRoom, write: Write
) -> None:
    await room.boot(write(oil=GOOD), list)
    noted.done.clear()
    await room.take(write(water=GOOD))
    assert noted.done == [
        ("flush", FLUSH_SECONDS),
        {"oil.*": False, "water.*": False},
        (["water"], [], 0.25),
        {"water.*": False},
    ]
    assert noted.hook_seconds == 99.0


async def test_with_the_last_script_the_flush_asks_nobody_any_more(
    noted: Noted, room: HookRoom, write: Write
) -> None:
    await room.boot(write(oil=GOOD), list)
    await room.take(write())
    assert noted.hooks is None
    assert noted.scripts == []


async def test_a_script_that_does_not_compile_is_told_with_its_line_and_changes_nothing(
    noted: Noted, room: HookRoom, write: Write, tmp_path: Path
) -> None:
    await room.boot(write(oil=GOOD), list)
    noted.done.clear()
    with pytest.raises(ConfigError, match=rf"{tmp_path}/bad\.py:1: hooks\.scripts\[bad\]: invalid syntax"):
        await room.check(write(oil=GOOD, bad="x = = 1"))
    assert noted.done == []


async def test_a_local_script_takes_the_place_of_the_centres_of_its_name(
    noted: Noted, room: HookRoom, write: Write
) -> None:
    await room.boot(write(), list, [sent("oil"), sent("water")])
    await room.take(write(oil=GOOD))
    assert noted.scripts == ["oil", "water"]


async def test_no_connection_takes_the_name_of_what_the_centres_scripts_compute(
    noted: Noted, room: HookRoom, write: Write
) -> None:
    await room.boot(write(), list)
    room.check_names(["plc", "hooks"])
    await room.replace_sent([sent("water")])
    room.check_names(["plc"])
    with pytest.raises(ConfigError, match="rename it"):
        room.check_names(["plc", "hooks"])


async def test_the_centres_set_runs_as_a_whole_or_not_at_all(
    noted: Noted, room: HookRoom, write: Write
) -> None:
    await room.boot(write(oil=GOOD), list)
    await room.replace_sent([sent("water")])
    assert noted.scripts == ["oil", "water"]
    with pytest.raises(ConfigError, match="steam: line 1: invalid syntax"):
        await room.replace_sent([sent("air"), sent("steam", "x = = 1")])
    assert noted.scripts == ["oil", "water"]
    await room.replace_sent([sent("oil"), sent("water")])
    assert noted.scripts == ["oil", "water"]
    await room.replace_sent([])
    assert noted.scripts == ["oil"]


async def test_after_the_end_frames_stay_with_the_hooks_and_nothing_begins(
    noted: Noted, room: HookRoom, write: Write
) -> None:
    """What a disk that was full keeps from the last flush must not be committed without them."""
    await room.boot(write(oil=GOOD), list)
    await room.close()
    assert noted.done[-1] == "close"
    assert noted.hooks is noted
    await room.replace_sent([sent("water")])
    assert noted.scripts == ["oil"]


async def test_values_that_a_script_has_a_say_in_are_bad_while_it_does_not_run(
    noted: Noted, room: HookRoom, write: Write
) -> None:
    await room.boot(write(oil=GOOD), list)
    assert room.quality_before("oil", "g") == "stale"
    assert room.quality_before("other", "g") == ""
    noted.state = "off"
    assert room.quality_before("oil", "g") == "bad_hook"


async def test_what_a_script_keeps_back_is_known_by_its_groups(
    noted: Noted, room: HookRoom, write: Write
) -> None:
    hides = sent("water", groups=["w.*"], on_failure=OnFailure.WITHHOLD)
    await room.boot(write(oil=GOOD), list, [hides])
    assert room.withholds("w", ["slow", "fast"])
    assert not room.withholds("oil", ["slow"])
    assert not room.withholds("w", [])


def test_of_two_hooks_on_a_group_the_one_that_withholds_decides() -> None:
    scripts = [sent("a", groups=["p.*", "q.*"]), sent("b", groups=["p.*"], on_failure=OnFailure.WITHHOLD)]
    cycle = Script(name="c", hook_type=HookPoint.ON_CYCLE, source="x", groups=["r.*"])
    assert failing([*scripts, cycle]) == {"p.*": True, "q.*": False}


def test_the_room_is_imported_without_that_of_the_hooks() -> None:
    code = "import sys, edge_agent.app.agent; print([m for m in sys.modules if 'agent.hooks' in m])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
