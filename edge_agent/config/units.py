"""Durations, sizes and rates with their units: `500ms`, `2GiB`, `2MiB/s`. A bare number is refused."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import (
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function

_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}  # fmt: skip
_QUANTITY: Final = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([A-Za-z]+)(/s)?\s*")


class Seconds(float):
    """A duration that has been read already: passes through validation as it is."""


class Bytes(int):
    """A size that has been read already."""


def _rounded(seconds: float) -> float:
    """To nanoseconds, which hides that 1.1 × 0.001 is not quite 0.0011."""
    return round(seconds, 9)


def parse_duration(value: object) -> Seconds:
    """Seconds from text like `500ms`, `2s`, `1m`, `24h`, `7d`. Raises ValueError."""
    if isinstance(value, Seconds):
        return value
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[3] or match[2] not in _SECONDS:
        raise ValueError(f"needs a duration with a unit such as 500ms, 2s, 1m, 24h (got {value!r})")
    return Seconds(_rounded(float(match[1]) * _SECONDS[match[2]]))


def _bytes(match: re.Match[str]) -> Bytes:
    number = float(match[1]) if "." in match[1] else int(match[1])
    return Bytes(number * _BYTES[match[2]])


def parse_size(value: object) -> Bytes:
    """Bytes from text like `256MiB`, `2GiB`, `10MB`. Raises ValueError."""
    if isinstance(value, Bytes):
        return value
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[3] or match[2] not in _BYTES:
        raise ValueError(f"needs a size with a unit such as 256MiB, 2GiB, 10MB (got {value!r})")
    return _bytes(match)


def parse_rate(value: object) -> Bytes:
    """Bytes a second from text like `2MiB/s`. Raises ValueError."""
    if isinstance(value, Bytes):
        return value
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or not match[3] or match[2] not in _BYTES:
        raise ValueError(f"needs a rate such as 2MiB/s (got {value!r})")
    return _bytes(match)


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads back as the same duration."""
    for unit in ("d", "h", "m", "s", "ms", "us"):
        count = round(seconds / _SECONDS[unit])
        if count and _rounded(count * _SECONDS[unit]) == seconds:
            return f"{count}{unit}"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def format_size(size: int) -> str:
    """The shortest text that `parse_size` reads back as the same size."""
    for unit in ("TiB", "GiB", "MiB", "KiB", "GB", "MB", "kB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


class Range:
    """Bounds of a quantity, for its validation and, in words, for the reference (`x-range`)."""

    def __init__(self, check: Callable[[Any], Any], words: str) -> None:
        self._check = check
        self._words = words

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "x-range": self._words}


def between(least: str, most: str) -> Range:
    """Bounds of a Duration, as texts: `Annotated[Duration, between("10ms", "1d")]`."""
    low, high = parse_duration(least), parse_duration(most)

    def check(value: float) -> float:
        if not low <= value <= high:
            raise ValueError(f"must be between {least} and {most} (got {format_duration(value)})")
        return value

    return Range(check, f"{least} to {most}")


def at_least(least: str) -> Range:
    """A lower bound of a Size or a Rate, as text: `Annotated[Size, at_least("1MiB")]`."""
    low = parse_size(least)

    def check(value: int) -> int:
        if value < low:
            raise ValueError(f"must be at least {least} (got {format_size(value)})")
        return value

    return Range(check, f"from {least}")


def _text(quantity: str, pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "x-quantity": quantity})


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    _text("duration", r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|min|h|d)$"),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str),
    _text("size", r"^[0-9]+(\.[0-9]+)?(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)$"),
]
Rate = Annotated[
    int,
    BeforeValidator(parse_rate),
    PlainSerializer(lambda value: f"{format_size(value)}/s", return_type=str),
    _text("rate", r"^[0-9]+(\.[0-9]+)?(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)/s$"),
]
