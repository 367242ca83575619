from pathlib import Path

import pytest

from edge_agent.contracts.status import AgentStatus, ComponentReport, SinkReport
from edge_agent.runtime.health import Finding, Severity, device_state, findings, is_alive
from edge_agent.wire.messages import (
    BufferReport,
    ClockReport,
    ConfigReport,
    ConfigState,
    ConnectionReport,
    GroupReport,
    HookReport,
    HooksReport,
    UnitReport,
)


@pytest.fixture
def well() -> AgentStatus:
    path = Path(__file__).parents[2] / "golden" / "agent-status-well.json"
    return AgentStatus.model_validate_json(path.read_bytes())


def test_nothing_is_wrong_with_a_well_agent(well: AgentStatus) -> None:
    assert findings(well) == []
    assert device_state(well) == "online"
    assert is_alive(well)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"connections": [ConnectionReport(name="a", driver="modbus", state="down", error="refused",
                                              since=5)]},
            Finding(Severity.ERROR, "connection a", "down: refused", 5),
        ),
        (
            {"connections": [ConnectionReport(name="a", driver="modbus", state="connected", groups=[
                GroupReport(name="g", state="silent", last_data=7), GroupReport(name="h", state="live")])]},
            Finding(Severity.ERROR, "connection a, group g", "silent: no data", 7),
        ),
        (
            {"connections": [ConnectionReport(name="a", driver="modbus", state="connecting")]},
            Finding(Severity.ERROR, "connection a", "connecting"),
        ),
        (
            {"connections": [ConnectionReport(
                name="a", driver="modbus", state="connected",
                units=[UnitReport(unit_id=7, state="silent", error="no answer"),
                       UnitReport(state="answering")])]},
            Finding(Severity.ERROR, "connection a, unit 7", "silent: no answer"),
        ),
        ({"lost_samples": 1234}, Finding(Severity.ERROR, "losses", "1,234 samples were lost")),
        (
            {"buffer": BufferReport(pending_bytes=51, quota_bytes=100, oldest_pending=9)},
            Finding(Severity.WARNING, "buffer", "51 % of its quota wait to be sent", 9),
        ),
        (
            {"sinks": [SinkReport(name="central", state="unreachable", detail="refused", last_success=3)]},
            Finding(Severity.WARNING, "sink central", "unreachable: refused", 3),
        ),
        (
            {"sinks": [SinkReport(name="central", state="blocked")]},
            Finding(Severity.ERROR, "sink central", "blocked"),
        ),
        (
            {"config": ConfigReport(state=ConfigState.ROLLED_BACK, seen_version=7, message="worse")},
            Finding(Severity.WARNING, "config", "the centre's version 7 is rolled back: worse"),
        ),
        (
            {"config": ConfigReport(state=ConfigState.APPLIED_WITH_WARNINGS, message="a is down")},
            Finding(Severity.WARNING, "config", "applied with warnings: a is down"),
        ),
        (
            {"clock": ClockReport(sync=False)},
            Finding(Severity.WARNING, "clock", "not synchronised: time stamps may be wrong"),
        ),
        (
            {"components": [ComponentReport(name="uploader", state="waiting", error="boom")]},
            Finding(Severity.ERROR, "part uploader", "failed and will run again: boom"),
        ),
    ],
)  # fmt: skip
def test_each_trouble_is_found(well: AgentStatus, change: dict[str, object], expected: Finding) -> None:
    status = well.model_copy(update=change)
    assert findings(status) == [expected]
    assert device_state(status) == "degraded"
    assert is_alive(status)


def test_what_is_switched_off_is_no_trouble(well: AgentStatus) -> None:
    change = {
        "connections": [ConnectionReport(name="a", driver="modbus", state="stopped")],
        "sinks": [SinkReport(name="central", state="off")],
        "clock": ClockReport(sync=None),
        "buffer": BufferReport(pending_bytes=50, quota_bytes=100),
        "components": [ComponentReport(name="once", state="stopped")],
    }
    assert findings(well.model_copy(update=change)) == []


def test_errors_come_before_warnings(well: AgentStatus) -> None:
    status = well.model_copy(
        update={
            "sinks": [
                SinkReport(name="a", state="unreachable"),
                SinkReport(name="b", state="refused"),
            ]
        }
    )
    assert [finding.subject for finding in findings(status)] == ["sink b", "sink a"]


def test_a_part_that_gave_up_makes_the_agent_worth_a_restart(well: AgentStatus) -> None:
    part = ComponentReport(name="writer", state="stopped", error="disk is gone")
    status = well.model_copy(update={"components": [part]})
    assert not is_alive(status)
    assert findings(status) == [Finding(Severity.ERROR, "part writer", "gave up: disk is gone")]


@pytest.mark.parametrize(
    ("report", "found"),
    [
        (HookReport(name="oil", hook_type="transform", state="running", error="once"), []),
        (HookReport(name="oil", hook_type="transform", state="starting"), []),
        (HookReport(name="oil", hook_type="transform", state="starting", error="no worker: no memory"),
         [Finding(Severity.WARNING, "hook oil", "starting: no worker: no memory")]),
        (HookReport(name="oil", hook_type="transform", state="off", error="KeyError: 'x'", line=4, since=9),
         [Finding(Severity.ERROR, "hook oil", "off: line 4: KeyError: 'x'", 9)]),
        (HookReport(name="oil", hook_type="transform", state="refused", error="not signed"),
         [Finding(Severity.ERROR, "hook oil", "refused: not signed")]),
    ],
)  # fmt: skip
def test_a_hook_that_does_not_run_is_found(
    well: AgentStatus, report: HookReport, found: list[Finding]
) -> None:
    layers = {"seccomp": "on", "landlock": "the kernel has none"}
    hooks = HooksReport(hooks=[report], layers=layers)
    assert findings(well.model_copy(update={"hooks": hooks})) == found


def test_scripts_of_the_centre_that_were_refused_are_found(well: AgentStatus) -> None:
    hooks = HooksReport(state="rejected", message="shift is not signed")
    (finding,) = findings(well.model_copy(update={"hooks": hooks}))
    assert finding == Finding(
        Severity.WARNING, "hooks", "the centre's scripts are rejected: shift is not signed"
    )
