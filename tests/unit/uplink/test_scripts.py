"""What becomes of scripts that a centre sends: judged by the local file's rules, tried, kept, reported."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from edge_agent.config.last_good import LastGood
from edge_agent.contracts.errors import ConfigError, Unavailable
from edge_agent.runtime.atomic import write_atomic
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.uplink.scripts import NOT_MANAGED, RETRY_SECONDS, Judged, Rules, ScriptKeeper, judge
from edge_agent.wire.messages import HooksReport
from edge_agent.wire.scripts import MAX_SCRIPTS, MAX_SOURCE_BYTES, Script

MANAGED = Rules(managed=True)
SIGNED = Rules(managed=True, keys={"plant": "key"})


def a_script(name: str = "oil", **settings: Any) -> dict[str, Any]:
    return {
        "name": name,
        "hook_type": "transform",
        "source": "def transform(frame): pass",
        "version": 1,
        **settings,
    }


def a_set(*scripts: dict[str, Any]) -> bytes:
    return orjson.dumps({"scripts": list(scripts)})


def signed(name: str = "oil", **settings: Any) -> dict[str, Any]:
    return a_script(name, signatures=[{"key": "plant", "signature": "good"}], **settings)


def verify(script: Script, keys: Mapping[str, str]) -> str:
    good = any(each.key in keys and each.signature == "good" for each in script.signatures)
    return "" if good else f"{script.name} is not signed"


def judged(body: bytes, rules: Rules = MANAGED) -> Judged:
    return judge(body, rules, verify)


# --- judging ----------------------------------------------------------------------------------------


def test_a_set_runs_in_its_order_with_the_centres_versions() -> None:
    found = judged(a_set(a_script("b", version=7), a_script("a", version=2)))
    assert [(script.name, script.version) for script in found.scripts] == [("b", 7), ("a", 2)]
    assert (found.problem, found.shadowed) == ("", ())


def test_local_names_win() -> None:
    found = judged(a_set(a_script("oil"), a_script("water")), replace(MANAGED, names=frozenset({"oil"})))
    assert [script.name for script in found.scripts] == ["water"]
    assert found.shadowed == ("oil",)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "no set of scripts"),
        (b"[]", "no set of scripts"),
        (b'{"scripts": [{"name": "oil"}]}', r"scripts\.0\.hook_type"),
        (b"[" * 100_000, "no set of scripts"),
        (a_set(a_script("../oil")), r"scripts\.0\.name"),
        (a_set(a_script(source="")), r"scripts\.0\.source"),
        (a_set(a_script(source="x" * (MAX_SOURCE_BYTES + 1))), r"scripts\.0\.source"),
        (a_set(a_script(source="é" * (MAX_SOURCE_BYTES // 2 + 1))), "oil: is longer than 64 KiB"),
        (a_set(*(a_script(f"s{n}") for n in range(MAX_SCRIPTS + 1))), "scripts"),
        (a_set(a_script(timeout_ms=60_001)), r"scripts\.0\.timeout_ms"),
        (a_set(a_script(hook_type="before_poll")), r"scripts\.0\.hook_type"),
        (a_set(a_script(), a_script()), "oil is there twice"),
        (a_set(a_script(version=0)), "oil: has no version"),
        (a_set(a_script(groups=["press\n1.*"])), "oil: has control characters"),
        (a_set(a_script(worker="a\x1b[2J")), "oil: has control characters"),
        (a_set(a_script(groups=["a" * 301])), "oil: has a pattern in groups of more than 300"),
        (a_set(a_script(groups=["a*" * 9])), "oil: has a pattern in groups of more than 300"),
        (a_set(a_script(groups=["*"] * 501)), "501 patterns in groups"),
        (a_set(a_script(groups=[])), "oil: is for no groups"),
        (a_set(a_script(schedule="0 6 * * *")), "oil: a schedule belongs to on_schedule"),
        (a_set(a_script(hook_type="on_schedule")), "oil: a schedule belongs to on_schedule"),
        (a_set(a_script(hook_type="on_schedule", schedule="soon")), "oil: 'soon' is no schedule"),
        (a_set(a_script(timezone="Mars/Base")), "oil: there is no time zone 'Mars/Base'"),
        (a_set(a_script(timezone="../../etc/passwd")), "oil: there is no time zone"),
        (a_set(a_script(hook_type="on_cycle", keep_raw=True)), "oil: keep_raw"),
    ],
)
def test_one_mistake_refuses_the_whole_set_and_is_named(body: bytes, problem: str) -> None:
    found = judged(body)
    assert found.scripts == ()
    with pytest.raises(ConfigError, match=problem):
        raise ConfigError(found.problem)


def test_mistakes_without_end_are_told_in_a_few_lines() -> None:
    found = judged(a_set(*(a_script(f"s{n}", groups=[]) for n in range(MAX_SCRIPTS))))
    assert found.problem.splitlines()[-1] == f"and {MAX_SCRIPTS - 20} more"


def test_local_and_sent_scripts_together_stay_within_the_bound() -> None:
    rules = replace(MANAGED, names=frozenset({"s0", "mine"}))
    sent = [a_script(f"s{n}") for n in range(MAX_SCRIPTS)]
    assert judged(a_set(*sent[: MAX_SCRIPTS - 1]), rules).problem == ""
    assert f"{MAX_SCRIPTS + 1} scripts" in judged(a_set(*sent), rules).problem


def test_a_script_of_the_centre_never_shares_a_process_with_a_local_one() -> None:
    rules = replace(MANAGED, workers=frozenset({"mine"}))
    assert "the worker mine is that of local scripts" in judged(a_set(a_script(worker="mine")), rules).problem
    assert judged(a_set(a_script(worker="theirs")), rules).problem == ""


def test_where_a_connection_has_the_name_of_computed_tags_nothing_runs_and_nothing_is_no_mistake() -> None:
    rules = replace(MANAGED, has_hooks_connection=True)
    assert "rename it" in judged(a_set(a_script()), rules).problem
    assert judged(a_set(), rules).problem == ""


def test_where_keys_are_named_every_script_needs_a_signature_of_one_of_them() -> None:
    assert judged(a_set(signed("a"), signed("b")), SIGNED).problem == ""
    assert judged(a_set(signed("a"), a_script("b")), SIGNED).problem == "b is not signed"
    other = a_script("c", signatures=[{"key": "stranger", "signature": "good"}])
    assert judged(a_set(other), SIGNED).problem == "c is not signed"


def test_a_shadowed_script_is_judged_like_the_others() -> None:
    rules = replace(SIGNED, names=frozenset({"oil"}))
    assert judged(a_set(a_script("oil")), rules).problem == "oil is not signed"


def test_a_content_is_what_runs_and_who_signed_it_not_its_number() -> None:
    first = judged(a_set(a_script(version=1))).content
    assert judged(a_set(a_script(version=2))).content == first
    others = [a_script(source="x = 1"), a_script(keep_raw=True), signed(), a_script("water")]
    assert len({first, *(judged(a_set(each)).content for each in others)}) == 5


# --- keeping ----------------------------------------------------------------------------------------


class Bench:
    """A keeper on a disk of its own, and what it has the agent run. refusing: sources that do not compile."""

    def __init__(self, directory: Path, rules: Rules = MANAGED) -> None:
        self.path = directory / "central-scripts.json"
        self.rules = rules
        self.clock = ManualClock()
        self.refusing: set[str] = set()
        self.busy = False
        self.full = self.busy_when_full = False
        self.tried: list[list[str]] = []
        self.ran: list[str] = []
        self.begin()

    def begin(self) -> None:
        self.keeper = ScriptKeeper(
            LastGood(self.path, self.write), lambda: self.rules, self.judge, self.replace, self.clock
        )

    async def restart(self) -> None:
        self.ran = []
        self.begin()
        await self.keeper.start()

    async def judge(self, body: bytes, rules: Rules, *, is_known: bool) -> Judged:
        await asyncio.sleep(0)
        return judge(body, rules, verify)

    async def replace(self, scripts: Sequence[Script]) -> None:
        if self.busy:
            raise Unavailable("no process can be started")
        self.tried.append([script.source for script in scripts])
        for script in scripts:
            if script.source in self.refusing:
                raise ConfigError(f"{script.name}:3: cannot be")
        self.ran = [script.mark for script in scripts]

    def write(self, path: Path, data: bytes) -> None:
        if self.full:
            self.busy = self.busy_when_full
            raise OSError(28, "No space left on device")
        write_atomic(path, data)

    def known(self) -> str:
        return self.keeper.known_etag or ""

    @property
    def booted(self) -> list[str]:
        return [script.mark for script in self.keeper.running]

    @property
    def state(self) -> tuple[str, str | None, str]:
        report = self.keeper.told(HooksReport())
        return report.state, report.etag, report.message


@pytest.fixture
async def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    await made.keeper.start()
    return made


def marks(*scripts: dict[str, Any]) -> list[str]:
    return [Script.model_validate(script).mark for script in scripts]


GOOD, BAD = a_script(source="good = 1"), a_script(source="bad = 1")


async def test_without_anything_of_the_centre_nothing_is_reported(bench: Bench) -> None:
    assert bench.state == ("none", None, "")
    assert (bench.keeper.is_wanted, bench.keeper.known_etag, bench.booted) == (True, None, [])


async def test_a_good_set_runs_and_is_reported_by_its_etag(bench: Bench) -> None:
    await bench.keeper.take(a_set(GOOD), "e1")
    assert (bench.ran, bench.state) == (marks(GOOD), ("applied", "e1", ""))
    assert bench.known() == "e1"


async def test_what_runs_is_what_runs_after_a_restart_without_network(bench: Bench) -> None:
    await bench.keeper.take(a_set(GOOD), "e1")
    await bench.restart()
    assert bench.booted == marks(GOOD)
    assert bench.state == ("applied", "e1", "")


async def test_scripts_that_the_centre_has_and_the_local_file_does_not_want_are_told_of(bench: Bench) -> None:
    bench.rules = Rules()
    await bench.restart()
    bench.keeper.offered(None)
    assert bench.state == ("none", None, "")
    bench.keeper.offered("e1")
    assert bench.state == ("none", None, NOT_MANAGED)
    bench.rules = MANAGED
    assert bench.state == ("none", None, "")


async def test_the_report_keeps_what_others_put_into_it(bench: Bench) -> None:
    report = HooksReport(layers={"seccomp": "on"})
    assert bench.keeper.told(report).layers == {"seccomp": "on"}


async def test_a_bad_set_is_refused_whole_and_the_last_good_one_goes_on(bench: Bench) -> None:
    await bench.keeper.take(a_set(GOOD), "e1")
    bench.refusing = {"bad = 1"}
    await bench.keeper.take(a_set(a_script("more"), BAD), "e2")
    assert bench.ran == marks(GOOD)
    assert bench.state == ("rejected", "e2", "oil:3: cannot be")
    assert bench.known() == "e2"
    await bench.restart()
    assert bench.booted == marks(GOOD)


async def test_what_was_refused_is_not_tried_again_until_it_changes_even_after_a_restart(
    bench: Bench,
) -> None:
    bench.refusing = {"bad = 1"}
    await bench.keeper.take(a_set(BAD), "e1")
    await bench.restart()
    for number in range(3):
        await bench.keeper.take(a_set({**BAD, "version": 2 + number}), f"again-{number}")
    assert len(bench.tried) == 1
    assert bench.state == ("rejected", "again-2", "oil:3: cannot be")
    await bench.keeper.take(a_set(GOOD), "e2")
    assert bench.ran == marks(GOOD)


async def test_what_was_refused_is_tried_again_when_the_local_file_changes(bench: Bench) -> None:
    bench.refusing = {"bad = 1"}
    await bench.keeper.take(a_set(BAD), "e1")
    assert bench.known() == "e1"
    bench.refusing = set()
    await bench.keeper.look_again()
    assert bench.known() == ""
    await bench.keeper.take(a_set(BAD), "e1")
    assert (bench.ran, bench.state[0]) == (marks(BAD), "applied")


async def test_what_two_asked_for_at_the_same_time_is_taken_once(bench: Bench) -> None:
    await asyncio.gather(*(bench.keeper.take(a_set(GOOD), "e1") for _ in range(2)))
    assert len(bench.tried) == 1


async def test_an_empty_set_ends_all_that_ran(bench: Bench) -> None:
    await bench.keeper.take(a_set(GOOD), "e1")
    await bench.keeper.take(a_set(), "e2")
    assert (bench.ran, bench.state) == ([], ("applied", "e2", ""))
    await bench.restart()
    assert bench.booted == []


async def test_for_want_of_a_process_nothing_is_refused_for_good(bench: Bench) -> None:
    bench.busy = True
    await bench.keeper.take(a_set(GOOD), "e1")
    assert bench.state == ("rejected", "e1", "no process can be started")
    bench.busy = False
    await bench.clock.advance(RETRY_SECONDS - 1)
    assert bench.known() == "e1"
    await bench.clock.advance(1)
    assert bench.known() == ""
    await bench.keeper.take(a_set(GOOD), "e1")
    assert bench.state == ("applied", "e1", "")


async def test_what_cannot_be_kept_does_not_run_either(bench: Bench) -> None:
    await bench.keeper.take(a_set(GOOD), "e1")
    bench.full = True
    await bench.keeper.take(a_set(a_script("new")), "e2")
    assert bench.ran == marks(GOOD)
    assert bench.state[0] == "rejected"
    assert "cannot be kept on disk" in bench.state[2]
    bench.full = False
    await bench.clock.advance(RETRY_SECONDS)
    await bench.keeper.take(a_set(a_script("new")), "e2")
    assert bench.ran == marks(a_script("new"))


async def test_what_cannot_be_kept_runs_on_where_what_ran_before_cannot_be_tried_again(bench: Bench) -> None:
    """A machine that is out of file handles can neither write a file nor begin a process."""
    await bench.keeper.take(a_set(GOOD), "e1")
    bench.full = bench.busy_when_full = True
    new = a_script("new")
    await bench.keeper.take(a_set(new), "e2")
    assert (bench.ran, [script.mark for script in bench.keeper.running]) == (marks(new), marks(new))
    assert bench.state[0] == "rejected"
    assert "they run until the next start" in bench.state[2]


async def test_a_damaged_file_is_set_aside_and_the_centre_is_asked_again(bench: Bench) -> None:
    await bench.keeper.take(a_set(GOOD), "e1")
    bench.path.write_bytes(bench.path.read_bytes().replace(b"good", b"evil"))
    await bench.restart()
    assert (bench.booted, bench.keeper.known_etag) == ([], None)
    assert bench.path.with_name("central-scripts.json.corrupt").exists()
    assert bench.state[0] == "rejected"
    assert "does not match its digest" in bench.state[2]
    await bench.keeper.take(a_set(GOOD), "e1")
    assert bench.state == ("applied", "e1", "")


async def test_hooks_taken_out_of_remote_manage_end_what_the_centre_sent(bench: Bench) -> None:
    await bench.keeper.take(a_set(GOOD), "e1")
    bench.rules = Rules()
    assert not bench.keeper.is_wanted
    await bench.keeper.look_again()
    assert (bench.ran, bench.state) == ([], ("none", None, ""))
    await bench.restart()
    assert bench.booted == []
    bench.rules = MANAGED
    await bench.keeper.look_again()
    assert bench.ran == marks(GOOD)


async def test_a_key_taken_away_ends_what_it_signed_at_the_next_look_and_at_the_next_start(
    bench: Bench,
) -> None:
    bench.rules = SIGNED
    await bench.keeper.take(a_set(signed()), "e1")
    assert bench.ran == marks(signed())
    bench.rules = replace(SIGNED, keys={"other": "key"})
    assert await bench.keeper.look_again() == ["of the centre's scripts none runs: oil is not signed"]
    assert (bench.ran, bench.state) == ([], ("rejected", None, "oil is not signed"))
    assert bench.known() == ""
    await bench.restart()
    assert bench.booted == []
    bench.rules = SIGNED
    await bench.restart()
    assert bench.booted == marks(signed())


async def test_a_key_that_is_wanted_from_now_on_ends_what_nobody_signed(bench: Bench) -> None:
    await bench.keeper.take(a_set(GOOD), "e1")
    bench.rules = SIGNED
    await bench.keeper.look_again()
    assert (bench.ran, bench.state[0]) == ([], "rejected")
    await bench.keeper.take(a_set(signed(source="good = 1")), "e2")
    assert bench.state == ("applied", "e2", "")


async def test_a_new_local_script_takes_its_name_back_and_gives_it_back(bench: Bench) -> None:
    water = a_script("water")
    await bench.keeper.take(a_set(GOOD, water), "e1")
    bench.rules = replace(MANAGED, names=frozenset({"oil"}))
    await bench.keeper.look_again()
    assert bench.ran == marks(water)
    assert bench.state == ("applied", "e1", "the local scripts of the same names run instead of: oil")
    bench.rules = MANAGED
    await bench.keeper.look_again()
    assert bench.ran == marks(GOOD, water)


async def test_a_change_of_the_local_file_that_changes_nothing_here_replaces_nothing(bench: Bench) -> None:
    await bench.keeper.take(a_set(GOOD), "e1")
    tried = len(bench.tried)
    assert await bench.keeper.look_again() == []
    assert len(bench.tried) == tried
