"""From a message's payload to a tag's value and time. Pure.

Whatever comes in, the outcome is a value, or BadPayload with words for people. Texts become numbers only
where the tag's type is a number: MQTT has no types, and `21.5` is what most devices send.
"""

import math
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import orjson

from edge_agent.drivers.mqtt.errors import BadPayload
from edge_agent.drivers.mqtt.pointer import resolve
from edge_agent.wire.schema import ValueType
from edge_agent.wire.sides import MAX_WALL_MS, MIN_SOURCE_MS

_NUMBER: Final = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,5})?")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,20}")
_TRUTH: Final = {
    "true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False,
}  # fmt: skip


class TimeFormat(StrEnum):
    MS = "ms"
    S = "s"
    US = "us"
    NS = "ns"
    ISO = "iso"


_PER_MS: Final = {TimeFormat.MS: 1.0, TimeFormat.S: 0.001, TimeFormat.US: 1e3, TimeFormat.NS: 1e6}


class Payload:
    """One message's payload; parsed as JSON once, however many tags look into it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._document: Any = None
        self._error = ""
        self._parsed = False

    def text(self) -> str:
        """Raises BadPayload."""
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            raise BadPayload("the payload is no text in UTF-8") from None

    def document(self) -> Any:
        """Raises BadPayload."""
        if not self._parsed:
            self._parsed = True
            try:
                self._document = orjson.loads(self.data)
            except (orjson.JSONDecodeError, RecursionError) as error:
                self._error = f"the payload is no JSON: {error}"[:200]
        if self._error:
            raise BadPayload(self._error)
        return self._document

    def at(self, steps: tuple[str, ...]) -> Any:
        """Raises BadPayload; Absent where there is nothing."""
        return resolve(self.document(), steps)


def value_of(payload: Payload, steps: tuple[str, ...] | None, type_: ValueType, count: int) -> Any:
    """The raw value for a tag. steps: None for a plain payload. Raises BadPayload.

    It need not fit the tag's type: the packer judges that.
    """
    if steps is not None:
        return _typed(payload.at(steps), type_)
    if type_ is ValueType.STRING:
        return payload.text()
    if type_ is ValueType.JSON or count > 1:
        return _typed(payload.document(), type_)
    return _number(payload.text(), type_)


def _typed(found: Any, type_: ValueType) -> Any:
    if found is None:
        raise BadPayload("the value is null")
    if type_ in (ValueType.STRING, ValueType.JSON):
        return found
    if isinstance(found, list):
        return [_number(each, type_) if isinstance(each, str) else each for each in found]
    return _number(found, type_) if isinstance(found, str) else found


def _number(text: str, type_: ValueType) -> bool | int | float:
    stripped = text.strip()
    if type_ is ValueType.BOOL:
        truth = _TRUTH.get(stripped.lower())
        if truth is None:
            raise BadPayload(f"{stripped[:40]!r} is no truth value: true, on, yes, 1; false, off, no, 0")
        return truth
    if _WHOLE.fullmatch(stripped):
        return int(stripped)
    if _NUMBER.fullmatch(stripped):
        return float(stripped)
    raise BadPayload(f"{stripped[:40]!r} is no number")


def time_of(found: Any, time_format: TimeFormat) -> int:
    """UTC milliseconds. Raises BadPayload for what is no time that a sample can have."""
    if time_format is TimeFormat.ISO:
        at = _iso(found)
    else:
        number = found
        if isinstance(found, str) and _NUMBER.fullmatch(found.strip()):
            number = float(found) if not _WHOLE.fullmatch(found.strip()) else int(found)
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise BadPayload(f"the time is no number of {time_format}: {str(found)[:40]!r}")
        at = round(number / _PER_MS[time_format])
    if not MIN_SOURCE_MS <= at <= MAX_WALL_MS:
        raise BadPayload(f"the time {str(found)[:40]!r} is out of range: is it in {time_format}?")
    return at


def _iso(found: Any) -> int:
    """ISO 8601; without an offset it is UTC."""
    if not isinstance(found, str) or len(found) > 64:
        raise BadPayload(f"the time is no text of ISO 8601: {str(found)[:40]!r}")
    try:
        at = datetime.fromisoformat(found.strip())
    except ValueError:
        raise BadPayload(f"the time is not ISO 8601: {found[:40]!r}") from None
    aware = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    try:
        return round(aware.timestamp() * 1000)
    except (OverflowError, ValueError):
        raise BadPayload(f"the time is out of range: {found[:40]!r}") from None
