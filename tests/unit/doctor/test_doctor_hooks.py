"""What the doctor makes of scripts and of the sandbox that they run in."""

from pathlib import Path
from typing import Any

from edge_agent.config.hooks import HookSettings, HooksSettings
from edge_agent.config.models import AgentSettings, Document
from edge_agent.contracts.diagnosis import Outcome, Verdict
from edge_agent.contracts.status import AgentStatus
from edge_agent.doctor.hooks import Hooks, Tried, judge_layers, judge_running, judge_tried
from edge_agent.doctor.site import Site
from edge_agent.wire.messages import HookReport, HooksReport
from edge_agent.wire.scripts import HookPoint

WHOLE = {"rlimits": "on", "landlock": "on", "seccomp": "on"}
LESS = {**WHOLE, "landlock": "the kernel has none"}
GOLDEN = Path(__file__).parents[2] / "golden" / "agent-status-well.json"


class Trier:
    def __init__(self, tried: Tried) -> None:
        self.tried = tried
        self.asked = 0

    async def try_scripts(self, site: Site) -> Tried:
        self.asked += 1
        return self.tried


def site(scripts: int, running: HooksReport | None = None, require: Any = ()) -> Site:
    items = [HookSettings(name=f"h{n}", point=HookPoint.TRANSFORM, source="x") for n in range(scripts)]
    hooks = HooksSettings(scripts=items, require=list(require))
    status = AgentStatus.model_validate_json(GOLDEN.read_bytes()).model_copy(update={"hooks": running})
    document = Document(agent=AgentSettings(id="a"), hooks=hooks)
    return Site(Path("c.yaml"), {}, document, running=None if running is None else status)


async def told(where: Site, tried: Tried) -> Outcome:
    outcomes: list[Outcome] = []
    await Hooks(Trier(tried)).run(where, outcomes.append)
    (outcome,) = outcomes
    return outcome


def test_a_whole_sandbox_is_well_and_a_missing_layer_is_named() -> None:
    assert [each.verdict for each in judge_layers(WHOLE, [])] == [Verdict.OK]
    (missing,) = judge_layers(LESS, [])
    assert missing.verdict is Verdict.WARNING
    assert missing.text == "the sandbox is without landlock: the kernel has none"
    (refused,) = judge_layers(LESS, ["landlock"])
    assert refused.verdict is Verdict.FAILED
    assert "no hook runs" in refused.text


def test_a_script_that_does_not_compile_fails() -> None:
    found = judge_tried(Tried(WHOLE, ["oil.py:2: invalid syntax"]), [], 2)
    assert [each.text for each in found if each.verdict is Verdict.FAILED] == ["oil.py:2: invalid syntax"]
    assert judge_tried(Tried(WHOLE), [], 2)[0].text == "2 scripts compiled"


def test_a_hook_that_is_off_fails_with_its_line() -> None:
    report = HooksReport(hooks=[
        HookReport(name="oil", hook_type="transform", state="off", error="no", line=3),
        HookReport(name="water", hook_type="transform", state="running"),
        HookReport(name="tried", hook_type="transform", state="refused", error="no"),
        HookReport(name="sent", hook_type="transform", state="refused", error="no", origin="centre"),
    ])  # fmt: skip
    assert [each.text for each in judge_running(report)] == ["oil is off: line 3: no", "sent is refused: no"]


async def test_without_scripts_nothing_is_tried() -> None:
    trier = Trier(Tried(WHOLE))
    outcomes: list[Outcome] = []
    await Hooks(trier).run(site(0), outcomes.append)
    assert (outcomes[0].verdict, trier.asked) == (Verdict.SKIPPED, 0)


async def test_the_layers_of_an_agent_that_runs_count_before_those_seen_from_here() -> None:
    running = HooksReport(hooks=[HookReport(name="h0", hook_type="transform", state="running")], layers=LESS)
    assert (await told(site(1, running), Tried(WHOLE))).verdict is Verdict.WARNING
    assert (await told(site(1), Tried(WHOLE))).verdict is Verdict.OK


async def test_where_no_process_can_be_started_it_says_so() -> None:
    outcome = await told(site(1), Tried({}, (), "no memory"))
    assert (outcome.verdict, outcome.text) == (Verdict.FAILED, "no script can be run: no memory")
