"""What single commands say where they cannot do what was asked, and what they refuse beforehand."""

import asyncio
import dataclasses
from typing import cast

import pytest

from edge_agent.commands.context import Context, Device, Pending
from edge_agent.commands.errors import CommandFault, Failed, NotKnown, Refused
from edge_agent.commands.executor import Executor
from edge_agent.commands.handlers import HANDLERS, REFUSALS
from edge_agent.commands.registry import Order
from edge_agent.contracts.status import ReloadResult
from edge_agent.contracts.writing import WriteOrder, WriteReport
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire.command_types import (
    TYPES,
    FlushBufferParams,
    NoParams,
    ReloadConfigParams,
    RestartAgentParams,
    RestartConnectionParams,
    RunDiagnosticsParams,
    WriteTagParams,
    WriteTagResult,
)
from edge_agent.wire.commands import CommandState
from edge_agent.wire.messages import ConfigReport, ConfigState, HookReport, HooksReport


class FakeDevice:
    """Says what the test wants; `done` has what was asked of it."""

    run, version, uptime_seconds = "run-1", "1.2.3", 5.0

    def __init__(self) -> None:
        self.done: list[str] = []
        self.problem = ""
        self.written = WriteReport(tag="", state="confirmed", before=1.0, after=2.0)
        self.hangs = False
        self.config = ConfigReport(running_hash="a", applied_version=3)
        self.fetched = self.config
        self.reloaded = ReloadResult(applied=True)
        self.hooks = HooksReport()
        self.sent = self.hooks
        self.manages_scripts = False
        self.states = {"press1": [("connecting", ""), ("connected", "")]}

    def restart_problem(self) -> str:
        return self.problem

    def restart(self) -> None:
        self.done.append("restart")

    async def fetch_config(self) -> None:
        self.done.append("fetch")
        self.config = self.fetched

    async def fetch_scripts(self) -> None:
        self.done.append("fetch scripts")
        self.hooks = self.sent

    async def reload(self) -> ReloadResult:
        self.done.append("reload")
        return self.reloaded

    def write_problem(self, tag: str, value: object) -> tuple[str, str] | None:
        return ("not_writable", f"{tag} may not be written") if self.problem else None

    async def write_tag(self, order: WriteOrder, seconds: float) -> WriteReport:
        assert 0 < seconds < 60.0
        self.done.append(f"write {order.tag} by {order.by} for {order.command}")
        if self.hangs:
            await asyncio.Event().wait()
        return self.written.model_copy(update={"tag": order.tag, "value": order.value})

    async def rebuild(self, connection: str) -> bool:
        self.done.append(f"rebuild {connection}")
        return connection in self.states

    def connection_state(self, connection: str) -> tuple[str, str]:
        states = self.states.get(connection, [("stopped", "")])
        return states.pop(0) if len(states) > 1 else states[0]

    async def flush(self) -> None:
        self.done.append("flush")

    def pending(self) -> Pending:
        return Pending(2, 20, 100 + 10 * len(self.done))

    async def until_delivered(self) -> None:
        self.done.append("delivered")


def context(device: FakeDevice, clock: ManualClock | None = None) -> Context:
    clock = clock or ManualClock()
    return Context("c1", cast("Device", device), clock, clock.monotonic() + 60.0)


def test_every_type_has_its_handler_and_no_other() -> None:
    assert set(HANDLERS) == set(TYPES)
    assert set(REFUSALS) <= set(TYPES)


async def test_a_ping_says_who_answers() -> None:
    found = await HANDLERS["ping"](context(FakeDevice()), NoParams())
    assert found.model_dump()["run"] == "run-1"


@pytest.mark.parametrize(
    ("kind", "params", "code"),
    [
        ("restart_agent", RestartAgentParams(), "no_supervisor"),
        ("write_tag", WriteTagParams(tag="press1.setpoint", value=1), "not_writable"),
        ("restart_connection", RestartConnectionParams(connection="press9"), "unknown_connection"),
        ("run_diagnostics", RunDiagnosticsParams(checks=["disc"]), "bad_params"),
        ("sync_scripts", NoParams(), "not_managed"),
    ],
)
def test_what_this_device_will_not_do_is_refused_before_it_is_accepted(
    kind: str, params: object, code: str
) -> None:
    device = FakeDevice()
    device.problem = "nobody would start it again"
    with pytest.raises(Refused) as refused:
        REFUSALS[kind](cast("Device", device), params)
    assert refused.value.code == code
    assert device.done == []


def test_a_forced_restart_and_one_under_a_supervisor_are_not_refused() -> None:
    device = FakeDevice()
    REFUSALS["restart_agent"](cast("Device", device), RestartAgentParams())
    device.problem = "nobody would start it again"
    REFUSALS["restart_agent"](cast("Device", device), RestartAgentParams(force=True))


async def test_a_restart_waits_its_time_and_does_not_return() -> None:
    device, clock = FakeDevice(), ManualClock()
    task = asyncio.ensure_future(
        HANDLERS["restart_agent"](context(device, clock), RestartAgentParams(delay_seconds=5.0))
    )
    await clock.advance(4.9)
    assert device.done == []
    await clock.advance(100.0)
    assert device.done == ["restart"]
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_reload_asks_the_centre_and_then_the_file_and_says_whether_anything_changed() -> None:
    device = FakeDevice()
    device.fetched = ConfigReport(running_hash="b", applied_version=4)
    found = await HANDLERS["reload_config"](context(device), ReloadConfigParams())
    assert device.done == ["fetch", "reload"]
    assert found.model_dump() == {"changed": True, "config_version": 4, "warnings": []}
    found = await HANDLERS["reload_config"](context(device), ReloadConfigParams(remote=False))
    assert device.done == ["fetch", "reload", "reload"]
    assert found.model_dump()["changed"] is False


async def test_a_reload_that_was_refused_fails_with_the_reason() -> None:
    device = FakeDevice()
    device.fetched = ConfigReport(state=ConfigState.REJECTED, code="invalid", message="3:1: no such driver")
    with pytest.raises(Failed, match="no such driver") as failed:
        await HANDLERS["reload_config"](context(device), ReloadConfigParams())
    assert (failed.value.code, device.done) == ("config_rejected", ["fetch"])
    device.reloaded = ReloadResult(applied=False, problems=["4:2: unknown key"])
    with pytest.raises(Failed, match="unknown key"):
        await HANDLERS["reload_config"](context(device), ReloadConfigParams(remote=False))


async def test_scripts_are_asked_for_and_what_runs_is_told_with_each_ones_version_and_error() -> None:
    device = FakeDevice()
    device.manages_scripts = True
    oil = HookReport(
        name="oil", hook_type="transform", state="running", origin="centre", version=3, sha256="a1"
    )
    own = HookReport(name="own", hook_type="on_cycle", state="refused", error="no such name", line=4)
    device.sent = HooksReport(hooks=[oil, own], etag="e1", state="applied", message="said")
    REFUSALS["sync_scripts"](cast("Device", device), NoParams())
    found = (await HANDLERS["sync_scripts"](context(device), NoParams())).model_dump()
    assert (found["changed"], found["etag"], found["message"]) == (True, "e1", "said")
    keys = ("name", "origin", "version", "sha256", "state", "error", "line")
    assert [tuple(each[key] for key in keys) for each in found["scripts"]] == [
        ("oil", "centre", 3, "a1", "running", "", None),
        ("own", "local", 0, "", "refused", "no such name", 4),
    ]
    again = await HANDLERS["sync_scripts"](context(device), NoParams())
    assert again.model_dump()["changed"] is False


async def test_scripts_that_were_refused_fail_the_command_with_the_reason_and_what_runs_instead() -> None:
    device = FakeDevice()
    oil = HookReport(name="oil", hook_type="transform", state="running", sha256="a1" * 32)
    device.sent = HooksReport(hooks=[oil], state="rejected", message="oil:3: no")
    with pytest.raises(Failed, match=r"oil:3: no\nwhat runs: oil a1a1a1a1a1a1a1a1$") as failed:
        await HANDLERS["sync_scripts"](context(device), NoParams())
    assert failed.value.code == "scripts_rejected"


async def test_a_connection_that_is_built_anew_is_waited_for() -> None:
    device, clock = FakeDevice(), ManualClock()
    task = asyncio.ensure_future(
        HANDLERS["restart_connection"](context(device, clock), RestartConnectionParams(connection="press1"))
    )
    await clock.advance(1.0)
    assert device.done == ["rebuild press1"]
    assert task.result().model_dump() == {"connection": "press1", "state": "connected", "error": ""}


@pytest.mark.parametrize(("wait", "done"), [(False, ["flush"]), (True, ["flush", "delivered"])])
async def test_a_flush_says_how_much_it_committed(wait: bool, done: list[str]) -> None:
    device = FakeDevice()
    found = await HANDLERS["flush_buffer"](context(device), FlushBufferParams(wait_delivered=wait))
    assert device.done == done
    assert found.model_dump() == {"flushed_samples": 10, "pending_batches": 2, "pending_samples": 20}


WRITE = WriteTagParams(tag="press1.setpoint", value=2.0)


async def test_a_write_names_who_ordered_it_and_brings_what_was_read_around_it() -> None:
    device = FakeDevice()
    REFUSALS["write_tag"](cast("Device", device), WRITE)
    found = await HANDLERS["write_tag"](dataclasses.replace(context(device), by="ada"), WRITE)
    assert found == WriteTagResult(
        tag="press1.setpoint", value=2.0, before=1.0, after=2.0, confirmation="confirmed"
    )
    assert device.done == ["write press1.setpoint by ada for c1"]


@pytest.mark.parametrize(
    ("state", "code", "raised"),
    [
        ("refused", "too_often", Failed),
        ("refused", "device_refused", Failed),
        ("differs", "differs", Failed),
        ("unknown", "unknown", NotKnown),
    ],
)
async def test_a_write_that_is_not_what_was_wanted_says_so(
    state: str, code: str, raised: type[Failed | NotKnown]
) -> None:
    device = FakeDevice()
    device.written = WriteReport(tag="", state=state, code=code, message="why")
    with pytest.raises(CommandFault, match="why") as error:
        await HANDLERS["write_tag"](context(device), WRITE)
    assert isinstance(error.value, raised)
    assert error.value.code == code


async def test_a_write_that_is_stopped_in_the_middle_is_unknown_and_not_cancelled() -> None:
    device = FakeDevice()
    device.hangs = True
    kind = TYPES["write_tag"]
    order = Order(kind, WRITE, HANDLERS["write_tag"])
    cancel = asyncio.Event()
    clock = ManualClock()
    running = asyncio.ensure_future(Executor(clock).run(order, context(device, clock), cancel))
    await clock.advance(1.0)
    cancel.set()
    outcome = await running
    assert (outcome.state, outcome.code) == (CommandState.UNKNOWN, "unknown")


async def test_a_write_that_takes_too_long_is_unknown_and_not_timed_out() -> None:
    device = FakeDevice()
    device.hangs = True
    clock = ManualClock()
    order = Order(TYPES["write_tag"], WRITE, HANDLERS["write_tag"])
    running = asyncio.ensure_future(Executor(clock).run(order, context(device, clock), asyncio.Event()))
    await clock.advance(61.0)
    outcome = await running
    assert (outcome.state, outcome.code) == (CommandState.UNKNOWN, "unknown")
