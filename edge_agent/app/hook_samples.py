"""Samples for a script to be tried on: from a file, from a recorded buffer, or made up from the config.

Files are what `edge-agent buffer export` writes (NDJSON or CSV), frames as JSON (`DryFrame`s, a list or one a
line), or a table with a column `time` and one for each tag.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from edge_agent.config.csv_text import Sheet, SheetError, decode
from edge_agent.config.load import Loaded
from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers import registry
from edge_agent.pipeline.build import groups_of, plan_group
from edge_agent.wire.dry_run import MAX_FRAMES, DryFrame
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from edge_agent.wire.scripts import covers

MAX_FILE_BYTES: Final = 64 << 20
_LONG: Final = frozenset({"time", "connection", "group", "tag", "value"})
_NAMING: Final = ("connection", "group", "tag", "time", "run", "n")
# A round number, so that what is made up is the same at each run: 2026-01-01T00:00:00Z.
_BEGIN_MS: Final = 1_767_225_600_000
_WAVE_FRAMES: Final = 20


def wants(patterns: Sequence[str]) -> Callable[[Schema], bool]:
    """Whether a group is meant by patterns of CONNECTION.GROUP."""

    def wanted(schema: Schema) -> bool:
        return covers(patterns, schema.connection, schema.group)

    return wanted


# --- files ---------------------------------------------------------------------------------------------


def from_file(path: Path, group: str | None) -> list[DryFrame]:
    """The frames of a file. group: CONNECTION.GROUP of a table that does not say it. Raises ConfigError,
    OSError."""
    with path.open("rb") as stream:
        data = stream.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: is longer than {MAX_FILE_BYTES >> 20} MiB: take the newest part of it")
    try:
        text = decode(data, str(path)).text
    except SheetError as error:
        raise ConfigError(f"{path}: is neither UTF-8 nor CP949: save it as 'CSV UTF-8'") from error
    if not text.strip():
        raise ConfigError(f"{path}: is empty")
    if text.lstrip()[:1] in ("[", "{"):
        return _frames(path, _json(path, text))
    return _frames(path, _table(path, text, group))


def _json(path: Path, text: str) -> list[Any]:
    """The items of a list, of {"frames": list}, or one a line."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        items = []
        # Not `splitlines`: a text may hold U+2028 as it is.
        for number, line in enumerate(text.split("\n"), 1):
            try:
                items += [json.loads(line)] if line.strip() else []
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"{path}:{number}: is not JSON: {error}") from error
        return items
    if isinstance(whole, dict):
        whole = whole.get("frames", [whole])
    if not isinstance(whole, list):
        raise ConfigError(f"{path}: is no list of frames")
    return whole


def _table(path: Path, text: str, group: str | None) -> list[Any]:
    """Rows of CSV as items of JSON. Cells that a row lacks or has too many are as if they were not there."""
    try:
        sheet = Sheet(text, str(path))
        rows = [dict(zip(sheet.headings, cells, strict=False)) for _, cells in sheet.rows()]
    except SheetError as error:
        raise ConfigError(f"{error.problem.place}: {error}") from error
    names = sheet.headings
    if set(names) >= _LONG:
        return [{**row, "value": _cell(row.get("value", ""))} for row in rows]
    if "time" not in names:
        raise ConfigError(
            f"{path}:{sheet.heading_line}: has neither the columns of `edge-agent buffer export` nor a "
            "column time"
        )
    connection, dot, name = (group or "").partition(".")
    if not dot:
        raise ConfigError(f"{path}: name the group of this table: --group CONNECTION.GROUP")
    return [
        {
            "connection": connection, "group": name, "time": row.get("time", ""),
            "values": {tag: _cell(text) for tag, text in row.items() if tag != "time"},
        }
        for row in rows
    ]  # fmt: skip


def _cell(text: str) -> JsonValue:
    """Nothing is null; numbers, truth values, lists and objects are JSON; all else is a text."""
    if not text:
        return None
    try:
        value: JsonValue = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text
    return value


def _frames(path: Path, items: Sequence[Any]) -> list[DryFrame]:
    if items and isinstance(items[0], dict) and "tag" in items[0]:
        items = _grouped(path, items)
    found = []
    for index, item in enumerate(items):
        try:
            found.append(DryFrame.model_validate({**item, "time": _time(item.get("time", _BEGIN_MS))}))
        except (ValidationError, ValueError, OverflowError, AttributeError, TypeError) as error:
            raise ConfigError(f"{path}: frame {index + 1}: {_first_line(error)}") from error
    return found


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error) if isinstance(error, ValueError | OverflowError) else "is no object"


def _grouped(path: Path, samples: Iterable[Any]) -> list[dict[str, Any]]:
    """One frame of all samples of a group and a time."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for number, each in enumerate(samples, 1):
        if not (isinstance(each, dict) and set(each) >= _LONG):
            raise ConfigError(f"{path}: sample {number}: has not all of {', '.join(sorted(_LONG))}")
        if wrong := [name for name in _NAMING if isinstance(each.get(name), list | dict)]:
            raise ConfigError(f"{path}: sample {number}: {wrong[0]} is a list or an object")
        key = (each["connection"], each["group"], each["time"], each.get("run"), each.get("n"))
        frame = found.setdefault(
            key,
            {"connection": key[0], "group": key[1], "time": key[2], "values": {}, "quality": {}},
        )
        frame["values"][each["tag"]] = each["value"]
        if each.get("quality") not in (None, "", "good"):
            frame["quality"][each["tag"]] = each["quality"]
    return list(found.values())


def _time(value: object) -> int:
    """UTC milliseconds of a number of them, or of a time as ISO 8601 has it. Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    text = str(value)
    if text.isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(
            f"time: {text!r:.40} is neither 2026-01-31T08:00:00Z nor UTC milliseconds"
        ) from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000)


# --- the config ----------------------------------------------------------------------------------------


def configured_schemas(loaded: Loaded, wanted: Callable[[Schema], bool]) -> list[Schema]:
    """Those of the groups that are wanted. Raises ConfigError."""
    return [
        schema
        for connection in loaded.document.connections
        for settings in groups_of(connection)
        for schema in [plan_group(registry.lookup(connection.driver), connection, settings).schema]
        if wanted(schema)
    ]


def made_up(schemas: Sequence[Schema], count: int) -> list[DryFrame]:
    """`count` frames in all, for groups that nobody has recorded: waves and texts, the same each time."""
    found = []
    for index in range(min(count, MAX_FRAMES)):
        if not schemas:
            break
        cycle, place = divmod(index, len(schemas))
        schema = schemas[place]
        values = {tag.name: _invented(tag, cycle, at) for at, tag in enumerate(schema.tags)}
        found.append(
            DryFrame(
                connection=schema.connection,
                group=schema.group,
                time=_BEGIN_MS + 1_000 * cycle,
                values=values,
            )
        )
    return found


def _invented(tag: TagSchema, cycle: int, at: int) -> JsonValue:
    if tag.count > 1:
        return [_one(tag, cycle, at + element) for element in range(tag.count)]
    return _one(tag, cycle, at)


def _one(tag: TagSchema, cycle: int, at: int) -> JsonValue:
    match tag.type:
        case ValueType.BOOL:
            return (cycle // 3 + at) % 2 == 0
        case ValueType.STRING:
            return f"{tag.name} {cycle // 5 + 1}"
        case ValueType.JSON:
            return {"cycle": cycle}
    raw = 50 + 40 * math.sin(math.tau * (cycle + at) / _WAVE_FRAMES)
    return (raw if tag.type.is_float else round(raw)) * tag.scale + tag.offset


def schema_json(schema: Schema) -> Mapping[str, Any]:
    """As a `DryRun` has it."""
    found: Mapping[str, Any] = json.loads(schema.canonical)
    return found
