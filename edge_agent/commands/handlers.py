"""What each command does: one function a type, with what it was given and nothing else.

`HANDLERS` is the agent's half of `wire.command_types.TYPES`; `REFUSALS` says what of it this device will
not do, before anything is begun.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from edge_agent.commands.children import run_child
from edge_agent.commands.context import Context, Device
from edge_agent.commands.errors import Failed, NotKnown, Refused
from edge_agent.commands.registry import Check, Handler
from edge_agent.contracts.check_names import CHECKS
from edge_agent.contracts.diagnosis import Verdict, worst
from edge_agent.contracts.writing import WriteOrder
from edge_agent.wire import command_types as types
from edge_agent.wire.commands import MAX_ARTIFACT_BYTES
from edge_agent.wire.messages import ConfigState, HooksReport

# What is left of a command's time for telling how it ended.
_SPARE_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.2
_SETTLED: Final = ("connected", "down")
_TEXT: Final = 2_000


async def ping(context: Context, _: types.NoParams) -> types.PingResult:
    device = context.device
    return types.PingResult(
        version=device.version,
        run=device.run,
        now=context.clock.wall_ms(),
        uptime_seconds=device.uptime_seconds,
    )


async def restart_agent(context: Context, params: types.RestartAgentParams) -> types.RestartAgentResult:
    """Does not return: the run that follows says how it ended."""
    await context.clock.sleep(params.delay_seconds)
    context.device.restart()
    await asyncio.Event().wait()
    raise AssertionError("the agent ends first")


def _check_restart(device: Device, params: types.RestartAgentParams) -> None:
    problem = device.restart_problem()
    if problem and not params.force:
        raise Refused("no_supervisor", problem)


async def reload_config(context: Context, params: types.ReloadConfigParams) -> types.ReloadConfigResult:
    device = context.device
    before = device.config
    steps = 2 if params.remote else 1
    if params.remote:
        context.step(1, steps, "asking the centre")
        await device.fetch_config()
        after = device.config
        if after.state in (ConfigState.REJECTED, ConfigState.ROLLED_BACK) and after != before:
            raise Failed(f"config_{after.state}", after.message[:_TEXT])
    context.step(steps, steps, "reading the local file")
    reloaded = await device.reload()
    if not reloaded.applied:
        raise Failed("config_invalid", "\n".join(reloaded.problems)[:_TEXT])
    return types.ReloadConfigResult(
        changed=device.config.running_hash != before.running_hash,
        config_version=device.config.applied_version,
        warnings=[warning[:_TEXT] for warning in reloaded.warnings],
    )


async def sync_scripts(context: Context, _: types.NoParams) -> types.SyncScriptsResult:
    device = context.device
    before = _marks(device.hooks)
    await device.fetch_scripts()
    after = device.hooks
    if after.state == "rejected":
        running = ", ".join(f"{hook.name} {hook.sha256[:16]}" for hook in after.hooks) or "no script"
        raise Failed("scripts_rejected", f"{after.message}\nwhat runs: {running}"[:_TEXT])
    known = types.ScriptStanding.model_fields.keys()
    return types.SyncScriptsResult(
        changed=_marks(after) != before,
        etag=after.etag,
        message=after.message[:_TEXT],
        scripts=[types.ScriptStanding(**hook.model_dump(include=set(known))) for hook in after.hooks],
    )


def _marks(report: HooksReport) -> list[tuple[str, str]]:
    return [(hook.name, hook.sha256) for hook in report.hooks]


def _check_scripts(device: Device, _: types.NoParams) -> None:
    if not device.manages_scripts:
        raise Refused("not_managed", "remote.manage of this device does not have hooks")


async def collect_logs(context: Context, params: types.CollectLogsParams) -> types.CollectLogsResult:
    since = None
    if params.since_seconds is not None:
        since = context.clock.wall_ms() - round(params.since_seconds * 1_000)
    found = await context.device.log_lines(params.lines, since, params.level)
    if not found.lines:
        return types.CollectLogsResult(lines=0, truncated=found.truncated)
    artifact = await context.device.upload(context.id, "agent-log.jsonl", found.text)
    return types.CollectLogsResult(lines=found.lines, truncated=found.truncated, artifact=artifact)


async def read_tags(context: Context, params: types.ReadTagsParams) -> types.ReadTagsResult:
    """Values of the next poll where one comes in time, else the newest: no request that was not planned."""
    seconds = max(0.0, context.seconds_left - _SPARE_SECONDS)
    return types.ReadTagsResult(values=await context.device.read_tags(params.tags, seconds))


async def write_tag(context: Context, params: types.WriteTagParams) -> types.WriteTagResult:
    order = WriteOrder(tag=params.tag, value=params.value, by=context.by, source="centre", command=context.id)
    seconds = max(0.0, context.seconds_left - _SPARE_SECONDS)
    try:
        report = await context.device.write_tag(order, seconds)
    except asyncio.CancelledError:
        # It goes on, and its end is in the device's history; of whoever stopped it nobody knows it.
        text = "it was stopped in the middle of it; the device's history tells how it ended"
        raise NotKnown("unknown", text) from None
    if report.state == "unknown":
        raise NotKnown(report.code, report.message)
    if report.state in ("refused", "differs"):
        raise Failed(report.code, report.message)
    return types.WriteTagResult(
        tag=report.tag,
        value=_scalar(report.value),
        before=_scalar(report.before),
        after=_scalar(report.after),
        confirmation=report.state,
    )


def _scalar(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, list | dict) else value


def _check_write(device: Device, params: types.WriteTagParams) -> None:
    problem = device.write_problem(params.tag, params.value)
    if problem is not None:
        raise Refused(*problem)


async def restart_connection(
    context: Context, params: types.RestartConnectionParams
) -> types.RestartConnectionResult:
    name = params.connection
    if not await context.device.rebuild(name):
        raise Failed("unknown_connection", f"this device polls no connection {name} any more")
    state, error = context.device.connection_state(name)
    while state not in _SETTLED and context.seconds_left > _SPARE_SECONDS:
        await context.clock.sleep(_LOOK_SECONDS)
        state, error = context.device.connection_state(name)
    return types.RestartConnectionResult(connection=name, state=state, error=error[:_TEXT])


def _check_connection(device: Device, params: types.RestartConnectionParams) -> None:
    if device.connection_state(params.connection)[0] == "stopped":
        raise Refused("unknown_connection", f"this device polls no connection {params.connection}")


async def run_diagnostics(context: Context, params: types.RunDiagnosticsParams) -> types.RunDiagnosticsResult:
    def on_line(line: str) -> None:
        try:
            begun = orjson.loads(line)
            context.step(begun["step"], begun["steps"], str(begun["check"]))
        except (orjson.JSONDecodeError, KeyError, TypeError):
            context.say(f"{line}\n")

    ran = await run_child(context.device.doctor(params.checks), on_line)
    report = _json(ran.output, "the examination")
    checks = [_diagnosis(each) for each in report["checks"]]
    for each in checks:
        context.say(f"{each.verdict}: {each.check} {each.subject}: {each.text}\n")
    verdict = worst(Verdict(each.verdict) for each in checks)
    return types.RunDiagnosticsResult(verdict=str(verdict), checks=checks[:1_000])


def _check_diagnostics(_: Device, params: types.RunDiagnosticsParams) -> None:
    unknown = [each for each in params.checks or () if each not in CHECKS]
    if unknown:
        raise Refused("bad_params", f"checks: there is no {unknown[0]}; there are {', '.join(CHECKS)}")


def _diagnosis(record: dict[str, Any]) -> types.Diagnosis:
    return types.Diagnosis(
        check=str(record.get("check")),
        subject=str(record.get("subject") or ""),
        verdict=str(record.get("verdict")),
        text=str(record.get("text") or "")[:_TEXT],
        remedies=[str(each)[:_TEXT] for each in record.get("remedies") or []],
    )


async def set_log_level(context: Context, params: types.SetLogLevelParams) -> types.SetLogLevelResult:
    before = context.device.set_log_level(params.level, params.seconds)
    return types.SetLogLevelResult(level=params.level, before=before, seconds=params.seconds)


async def flush_buffer(context: Context, params: types.FlushBufferParams) -> types.FlushBufferResult:
    device = context.device
    before = device.pending()
    steps = 2 if params.wait_delivered else 1
    context.step(1, steps, "committing")
    await device.flush()
    flushed = device.pending().stored_samples - before.stored_samples
    if params.wait_delivered:
        context.step(2, steps, "waiting for the centre")
        await device.until_delivered()
    left = device.pending()
    return types.FlushBufferResult(
        flushed_samples=max(0, flushed), pending_batches=left.batches, pending_samples=left.samples
    )


async def support_bundle(context: Context, params: types.SupportBundleParams) -> types.SupportBundleResult:
    directory = await asyncio.to_thread(context.device.scratch)
    path = directory / f"support-{context.id}.tar.gz"
    try:
        context.step(1, 2, "collecting")
        arguments = context.device.bundle(path, doctor=params.doctor)
        ran = await run_child(arguments, lambda line: context.say(f"{line}\n"))
        if ran.code != 0:
            raise Failed("bundle_failed", f"the process that collects ended with code {ran.code}")
        data = await asyncio.to_thread(_content, path)
        context.step(2, 2, "sending")
        artifact = await context.device.upload(context.id, path.name, data)
    finally:
        with suppress(OSError):
            path.unlink()
    files = _json(ran.output, "the bundle").get("files", [])
    return types.SupportBundleResult(artifact=artifact, files=len(files))


def _content(path: Path) -> bytes:
    """Raises Failed."""
    try:
        if path.stat().st_size > MAX_ARTIFACT_BYTES:
            raise Failed("too_large", f"the bundle is larger than {MAX_ARTIFACT_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise Failed("bundle_failed", f"the bundle cannot be read: {error.strerror}") from error


def _json(output: bytes, what: str) -> dict[str, Any]:
    try:
        found = orjson.loads(output)
    except orjson.JSONDecodeError as error:
        raise Failed("bad_output", f"the process of {what} did not say what came of it") from error
    if not isinstance(found, dict):
        raise Failed("bad_output", f"the process of {what} said something else")
    return found


HANDLERS: Final[Mapping[str, Handler]] = {
    "ping": ping,
    "restart_agent": restart_agent,
    "reload_config": reload_config,
    "sync_scripts": sync_scripts,
    "collect_logs": collect_logs,
    "read_tags": read_tags,
    "write_tag": write_tag,
    "restart_connection": restart_connection,
    "run_diagnostics": run_diagnostics,
    "set_log_level": set_log_level,
    "flush_buffer": flush_buffer,
    "support_bundle": support_bundle,
}

REFUSALS: Final[Mapping[str, Check]] = {
    "restart_agent": _check_restart,
    "sync_scripts": _check_scripts,
    "write_tag": _check_write,
    "restart_connection": _check_connection,
    "run_diagnostics": _check_diagnostics,
}
