"""How a device is, from its newest heartbeat: pure rules."""

from enum import StrEnum
from typing import Final

from edge_agent.wire.messages import Heartbeat

DEFAULT_HEARTBEAT_SECONDS: Final = 30.0
MISSED_HEARTBEATS: Final = 3
# How long a loss keeps a device degraded, so that somebody sees it.
LOSS_SECONDS: Final = 3_600
# States of a hook in which its samples are marked as bad.
HOOK_FAILS: Final = ("off", "refused")


class DeviceState(StrEnum):
    NEVER_SEEN = "never_seen"
    ONLINE = "online"
    DEGRADED = "degraded"
    OFFLINE = "offline"


def problems(heartbeat: Heartbeat, last_loss: int | None, now: int) -> list[str]:
    """What is wrong, one text each for people; empty: all is well. Times are UTC milliseconds."""
    buffer = heartbeat.buffer
    return [*lasting(heartbeat), *passing(buffer.pending_bytes, buffer.quota_bytes, last_loss, now)]


def lasting(heartbeat: Heartbeat) -> list[str]:
    """What of that lies in the standing (`standing`), whatever figures and clock say."""
    found: list[str] = []
    for connection in heartbeat.connections:
        if connection.state == "down":
            reason = f": {connection.error}" if connection.error else ""
            found.append(f"connection {connection.name} is down{reason}")
            continue
        silent = [str(unit.unit_id) for unit in connection.units if unit.state != "answering"]
        if silent:
            found.append(f"connection {connection.name}: unit {', '.join(silent)} does not answer")
    if heartbeat.clock.sync is False:
        found.append("the clock is not synchronised")
    for hook in heartbeat.hooks.hooks if heartbeat.hooks else ():
        if hook.state in HOOK_FAILS:
            reason = f": {hook.error}" if hook.error else ""
            found.append(f"hook {hook.name} is {hook.state}{reason}")
    buffer = heartbeat.buffer
    if buffer.error:
        found.append(f"the buffer cannot be written: {buffer.error}")
    elif buffer.state == "full":
        found.append("the buffer is full")
    return found


def passing(pending_bytes: float, quota_bytes: int, last_loss: int | None, now: int) -> list[str]:
    """The rest of it."""
    found: list[str] = []
    # The pending part is what counts: what was delivered is kept only while there is room.
    if quota_bytes and pending_bytes * 2 > quota_bytes:
        found.append("the buffer is over half its quota")
    if last_loss is not None and now - last_loss < LOSS_SECONDS * 1000:
        found.append("samples were lost within the last hour")
    return found


def state_of(heartbeat: Heartbeat, last_loss: int | None, now: int) -> DeviceState:
    """The state of a device that has just been heard."""
    return DeviceState.DEGRADED if problems(heartbeat, last_loss, now) else DeviceState.ONLINE


MAX_PAST_RUNS: Final = 8
CONFLICT_QUIET_MS: Final = 600_000


def in_conflict(last: int | None, now: int) -> bool:
    """Whether two agents use one identity; last: when runs alternated last (UTC milliseconds)."""
    return last is not None and 0 <= now - last < CONFLICT_QUIET_MS


def follow_run(current: str | None, past: list[str], run: str) -> tuple[list[str], bool]:
    """The past runs after a heartbeat of `run`, and whether a run came back that another had replaced.

    Restarts bring runs that were never seen. A run that returns means that two agents use one identity.
    """
    if current is None or run == current:
        return past, False
    returned = run in past
    kept = [name for name in past if name not in (run, current)]
    return [*kept, current][-MAX_PAST_RUNS:], returned
