"""What `edge-agent hook test` does: the samples that were asked for, one script run on them, and the answer.

The script runs through `hooks.dry_run`, which a program's request takes too.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import orjson
from pydantic import ValidationError

from edge_agent.app import hook_samples
from edge_agent.app.hook_scripts import Chosen
from edge_agent.buffer import recorded
from edge_agent.config.scripts import lacking_library, schedule_fault, zone_fault
from edge_agent.contracts.errors import ConfigError, Unavailable
from edge_agent.hooks import dry_run
from edge_agent.hooks.protocol import MAX_STATE_BYTES
from edge_agent.hooks.samples import Originals, Sampled, frames_of
from edge_agent.wire.dry_run import MAX_REQUEST_BYTES, DryError, DryRun, DryRunAnswer
from edge_agent.wire.errors import WireError
from edge_agent.wire.frame import check_json
from edge_agent.wire.schema import Schema
from edge_agent.wire.scripts import HookPoint, Script

_MAX_SMALL_BYTES: Final = 1 << 20
# Half of it is the most that hooks have of a flush.
_DEFAULT_FLUSH_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says of samples. groups: patterns; none: those that the script is for."""

    frames: Path | None = None
    from_buffer: Path | None = None
    groups: tuple[str, ...] = ()
    last: int = 10
    calls: Path | None = None
    state: Path | None = None
    repeat: int = 1


def try_out(chosen: Chosen, wanted: Wanted, warn: Callable[[str], None]) -> DryRunAnswer:
    """Raises ConfigError, OSError, and Unavailable where no script can be run."""
    _check_libraries()
    samples = _samples(chosen, wanted, warn)
    order = dry_run.Order(
        script=chosen.script,
        samples=samples,
        calls=_calls(chosen.script, wanted),
        state=_object(wanted.state) if wanted.state else {},
        repeat=wanted.repeat,
        require=() if chosen.loaded is None else tuple(chosen.loaded.document.hooks.require),
        flush_seconds=_flush_seconds(chosen),
    )
    return _run(order)


def answer(request: TextIO) -> DryRunAnswer:
    """To a request of a program. Raises ConfigError, and Unavailable where no script can be run."""
    try:
        text = request.read(MAX_REQUEST_BYTES + 1)
        if len(text) > MAX_REQUEST_BYTES:
            raise ConfigError(f"the request has more than {MAX_REQUEST_BYTES >> 20} MiB")
        asked = DryRun.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise ConfigError(f"the request is not one: {place}: {first['msg']}") from error
    except UnicodeDecodeError as error:
        raise ConfigError("the request is not UTF-8") from error
    _check_libraries()
    script = asked.script
    if fault := zone_fault(script.timezone) or schedule_fault(script.schedule):
        return DryRunAnswer(
            ok=False, script=script.mark, error=DryError(kind="refused", type="", message=fault)
        )
    order = dry_run.Order(
        script=script,
        samples=_before(asked.script, frames_of(asked.frames, asked.schemas), []),
        calls=asked.calls,
        state=asked.state,
        repeat=asked.repeat,
        seconds=asked.seconds,
    )
    return _run(order)


def _run(order: dry_run.Order) -> DryRunAnswer:
    """Raises ConfigError for calls and a state that no agent could give to a script."""
    kind = order.script.hook_type
    if order.calls and (kind.has_frames or kind is HookPoint.ON_CYCLE):
        raise ConfigError(f"calls: {kind} is given frames, and no calls")
    for index, call in enumerate(order.calls):
        _check_json(f"calls[{index}]", call)
    _check_json("state", order.state)
    size = len(orjson.dumps(order.state))
    if size > MAX_STATE_BYTES:
        raise ConfigError(f"state: has {size} bytes as JSON: {MAX_STATE_BYTES} are the most")
    return asyncio.run(dry_run.run(order))


def _check_json(what: str, value: object) -> None:
    try:
        check_json(value)
    except WireError as error:
        raise ConfigError(f"{what}: {error}") from error


def _check_libraries() -> None:
    if lacking := lacking_library():
        raise Unavailable(lacking)


def _flush_seconds(chosen: Chosen) -> float:
    flush = _DEFAULT_FLUSH_SECONDS
    if chosen.loaded is not None:
        flush = chosen.loaded.document.buffer.flush_interval
    return flush


# --- samples -------------------------------------------------------------------------------------------


def _samples(chosen: Chosen, wanted: Wanted, warn: Callable[[str], None]) -> list[Sampled]:
    schemas = [] if chosen.loaded is None else hook_samples.configured_schemas(chosen.loaded, lambda _: True)
    meant = hook_samples.wants(wanted.groups or _patterns(chosen.script))
    if wanted.from_buffer is not None:
        found = recorded.newest(wanted.from_buffer, meant, wanted.last)
        for text in found.left_out:
            warn(text)
        if not found.frames:
            groups = ", ".join(wanted.groups or _patterns(chosen.script))
            raise ConfigError(f"{wanted.from_buffer}: holds no frame of {groups}")
        if chosen.script.hook_type is HookPoint.TRANSFORM:
            _warn_of_hooked(found.frames, warn, with_config=chosen.loaded is not None)
        return _before(chosen.script, found.frames, schemas)
    if wanted.frames is not None:
        group = wanted.groups[0] if len(wanted.groups) == 1 else None
        given = hook_samples.from_file(wanted.frames, group)
        found_frames = frames_of(given, [hook_samples.schema_json(schema) for schema in schemas])
        return [each for each in found_frames if not wanted.groups or meant(each[0])][-wanted.last :]
    asked = [schema for schema in schemas if meant(schema)]
    if schemas and not asked:
        raise ConfigError(
            f"no group of the config is meant by {', '.join(wanted.groups or chosen.script.groups)}"
        )
    frames = hook_samples.made_up(asked, wanted.last)
    return frames_of(frames, [hook_samples.schema_json(schema) for schema in asked])


def _patterns(script: Script) -> tuple[str, ...]:
    """Of the groups that a script wants to see: INPUTS of the others may be of any."""
    return tuple(script.groups) if script.hook_type.has_frames else ("*",)


def _before(script: Script, samples: list[Sampled], schemas: Sequence[Schema]) -> list[Sampled]:
    """As the script would have been given them: transform comes before all other hooks."""
    if script.hook_type is not HookPoint.TRANSFORM:
        return samples
    originals = Originals(schemas)
    return [originals.of(each) for each in samples]


def _warn_of_hooked(samples: list[Sampled], warn: Callable[[str], None], *, with_config: bool) -> None:
    hint = "" if with_config else "; -c CONFIG leaves out what else hooks made"
    for name in sorted({f"{schema.connection}.{schema.group}" for schema, _ in samples if schema.hooks}):
        warn(f"{name}: recorded behind hooks: originals are taken where they were kept (keep_raw){hint}")


# --- calls and state -----------------------------------------------------------------------------------


def _calls(script: Script, wanted: Wanted) -> list[dict[str, Any]]:
    point = script.hook_type
    if point not in _MADE_UP_CALLS:
        if wanted.calls is not None:
            raise ConfigError(f"{point} is run on frames: leave --calls out")
        return []
    if wanted.calls is None:
        return [dict(each) for each in _MADE_UP_CALLS[point]]
    found = _read_json(wanted.calls)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ConfigError(f"{wanted.calls}: is no list of objects")
    return found


def _object(path: Path) -> dict[str, Any]:
    found = _read_json(path)
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: is no object")
    return found


def _read_json(path: Path) -> Any:
    with path.open("rb") as stream:
        data = stream.read(_MAX_SMALL_BYTES + 1)
    if len(data) > _MAX_SMALL_BYTES:
        raise ConfigError(f"{path}: is longer than {_MAX_SMALL_BYTES >> 20} MiB")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not JSON: {error}") from error


_LINK: Final[Mapping[str, Any]] = {"connection": "press1", "driver": "modbus", "address": "192.0.2.10:502"}
_MADE_UP_CALLS: Final[Mapping[HookPoint, tuple[Mapping[str, Any], ...]]] = {
    HookPoint.ON_CONNECT: ({**_LINK, "state": "connected"},),
    HookPoint.ON_ALERT: (
        {"code": "connection_down", "message": "press1: no answer", "connection": "press1", "data": {}},
    ),
    HookPoint.ON_SCHEDULE: ({},),
}
