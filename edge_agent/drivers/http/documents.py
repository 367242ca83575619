"""From an answer's bytes to values, their marks and their times. Pure, and never raises but Unreadable."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from edge_agent.drivers.http.address import (
    Absent,
    Format,
    Metric,
    find_text,
    follow,
    parse_labels,
    parse_metric,
)
from edge_agent.drivers.http.body import Unreadable
from edge_agent.drivers.http.plan import Want
from edge_agent.drivers.http.shelly import readings
from edge_agent.drivers.packing import Mark
from edge_agent.wire.quality import Quality
from edge_agent.wire.schema import ValueType

ABSENT: Final = Mark(Quality.BAD_CONFIG)
NO_VALUE: Final = Mark(Quality.BAD_DEVICE)
NO_NUMBER: Final = Mark(Quality.BAD_VALUE)
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,20}")
_SPECIAL: Final = {"nan": math.nan, "+inf": math.inf, "inf": math.inf, "-inf": -math.inf}
_TRUTH: Final = {"true": True, "false": False, "on": True, "off": False, "1": True, "0": False}
_SAMPLE: Final = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?'
    r"[ \t]+(\S+)(?:[ \t]+(-?[0-9]{1,18}))?[ \t]*"
)
_LONGEST_NUMBER: Final = 100
# Seconds reach this number in the year 5138, milliseconds reached it in 1973.
_MILLISECONDS_FROM: Final = 1e11
_LAST_MS: Final = 253_402_300_800_000  # the year 10000


@dataclass(slots=True)
class Found:
    """By tag of the schema. times: UTC milliseconds."""

    values: dict[int, Any] = field(default_factory=dict)
    marks: dict[int, Mark] = field(default_factory=dict)
    times: dict[int, int] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def miss(self, want: Want, mark: Mark, why: str) -> None:
        self.marks[want.tag] = mark
        self.errors[want.address or "the document"] = why


def take(format_: Format, body: bytes, wants: Sequence[Want]) -> Found:
    """What a document holds of what is wanted. Raises Unreadable where it is no such document."""
    match format_:
        case Format.JSON:
            return _take_json(body, wants)
        case Format.TEXT:
            text = _text(body)
            return _take_each(wants, lambda want: find_text(text, want.address))
        case Format.PROMETHEUS:
            return _take_samples(_text(body), wants)
        case Format.SHELLY:
            known = readings(_json(body))
            if not known:
                raise Unreadable("it is not the status of a switch")
            return _take_each(wants, lambda want: _named(known, want.address))


def _named(known: dict[str, Any], name: str) -> Any:
    if name not in known:
        raise Absent(f"this device tells no {name}")
    return known[name]


def _take_each(wants: Sequence[Want], look: Callable[[Want], Any]) -> Found:
    found = Found()
    for want in wants:
        try:
            _put(found, want, look(want))
        except Absent as error:
            found.miss(want, ABSENT, str(error))
    return found


def _put(found: Found, want: Want, raw: Any) -> None:
    if raw is None and want.type is not ValueType.JSON:
        found.miss(want, NO_VALUE, "null: the device has no value")
        return
    try:
        found.values[want.tag] = typed(want.type, raw)
    except ValueError:
        found.miss(want, NO_NUMBER, f"{raw!r:.60} is no {want.type}")


def typed(type_: ValueType, raw: Any) -> Any:
    """Texts of numbers become numbers, as many devices quote them. The rest is judged when it is packed.

    Raises ValueError.
    """
    if not isinstance(raw, str):
        return raw
    if type_ in (ValueType.STRING, ValueType.JSON):
        return raw
    text = raw.strip()[:_LONGEST_NUMBER]
    if type_ is ValueType.BOOL:
        if (truth := _TRUTH.get(text.lower())) is not None:
            return truth
        raise ValueError
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    if (special := _SPECIAL.get(text.lower())) is not None and type_.is_float:
        return special
    raise ValueError


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"it is no JSON: {str(error)[:200]}") from None


def _take_json(body: bytes, wants: Sequence[Want]) -> Found:
    document = _json(body)
    found = _take_each(wants, lambda want: follow(document, want.address))
    times: dict[str, int | None] = {}
    for want in wants:
        if want.time is None or want.tag not in found.values:
            continue
        if want.time not in times:
            times[want.time] = _time_at(document, want.time, found)
        if (at := times[want.time]) is not None:
            found.times[want.tag] = at
    return found


def _time_at(document: Any, pointer: str, found: Found) -> int | None:
    try:
        return time_ms(follow(document, pointer))
    except (Absent, ValueError) as error:
        found.errors[f"time {pointer}"] = str(error)
        return None


def time_ms(value: Any) -> int:
    """UTC milliseconds of ISO 8601, or of seconds or milliseconds since 1970. Raises ValueError."""
    if isinstance(value, str):
        text = value.strip()[:_LONGEST_NUMBER]
        if _NUMBER.fullmatch(text) and not re.fullmatch(r"[0-9]{8}", text):  # 20260101 is a date
            return time_ms(float(text))
        try:
            parsed = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text!r} is no time") from None
        aware = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
        found = round((aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        found = round(value if abs(value) >= _MILLISECONDS_FROM else value * 1000)
    else:
        raise ValueError(f"{value!r:.60} is no time")
    if not 0 <= found < _LAST_MS:
        raise ValueError(f"{value!r:.60} is no time between 1970 and 9999")
    return found


# --- text -------------------------------------------------------------------------------------------


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("latin-1")


def _take_samples(text: str, wants: Sequence[Want]) -> Found:
    """Prometheus' text format 0.0.4. The first sample that matches counts."""
    open_: dict[str, list[tuple[Want, Metric]]] = {}
    for want in wants:
        metric = parse_metric(want.address)
        open_.setdefault(metric.name, []).append((want, metric))
    found = Found()
    for line in text.split("\n"):
        name = line[: _name_end(line)]
        if name in open_:
            _take_sample(line, open_[name], found)
    for waiting in open_.values():
        for want, _ in waiting:
            if want.tag not in found.values and want.tag not in found.marks:
                found.miss(want, ABSENT, "there is no such sample")
    return found


def _name_end(line: str) -> int:
    ends = [at for at in (line.find("{"), line.find(" "), line.find("\t")) if at > 0]
    return min(ends, default=len(line))


def _take_sample(line: str, waiting: list[tuple[Want, Metric]], found: Found) -> None:
    match = _SAMPLE.fullmatch(line.rstrip("\r")) if len(line) <= 10_000 else None
    labels = None if match is None else parse_labels(match[2] or "")
    if match is None or labels is None:
        return
    for want, metric in waiting:
        if want.tag in found.values or want.tag in found.marks:
            continue
        if all(labels.get(name) == value for name, value in metric.labels):
            _put(found, want, match[3])
            if match[4] is not None and 0 <= int(match[4]) < _LAST_MS and want.tag in found.values:
                found.times[want.tag] = int(match[4])
