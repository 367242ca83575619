"""Durations, sizes and rates with their units: `500ms`, `2GiB`, `2MiB/s`. A bare number is refused."""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}  # fmt: skip
_QUANTITY: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)(/s)?\s*")


class Seconds(float):
    """A duration that has been read already: passes through validation as it is."""


class Bytes(int):
    """A size that has been read already."""


def parse_duration(value: object) -> Seconds:
    """Seconds from text like `500ms`, `2s`, `1m`, `24h`, `7d`. Raises ValueError."""
    if isinstance(value, Seconds):
        return value
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[3] or match[2] not in _SECONDS:
        raise ValueError(f"needs a duration with a unit such as 500ms, 2s, 1m, 24h (got {value!r})")
    return Seconds(float(match[1]) * _SECONDS[match[2]])


def parse_size(value: object) -> Bytes:
    """Bytes from text like `256MiB`, `2GiB`, `10MB`. Raises ValueError."""
    if isinstance(value, Bytes):
        return value
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[3] or match[2] not in _BYTES:
        raise ValueError(f"needs a size with a unit such as 256MiB, 2GiB, 10MB (got {value!r})")
    return Bytes(float(match[1]) * _BYTES[match[2]])


def parse_rate(value: object) -> Bytes:
    """Bytes a second from text like `2MiB/s`. Raises ValueError."""
    if isinstance(value, Bytes):
        return value
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or not match[3] or match[2] not in _BYTES:
        raise ValueError(f"needs a rate such as 2MiB/s (got {value!r})")
    return Bytes(float(match[1]) * _BYTES[match[2]])


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads back as the same duration."""
    for unit in ("d", "h", "m", "s", "ms"):
        count = seconds / _SECONDS[unit]
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"


def format_size(size: int) -> str:
    """The shortest text that `parse_size` reads back as the same size."""
    for unit in ("TiB", "GiB", "MiB", "KiB", "GB", "MB", "kB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


def _text(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern})


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    _text(r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|min|h|d)$"),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str),
    _text(r"^[0-9]+(\.[0-9]+)?(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)$"),
]
Rate = Annotated[
    int,
    BeforeValidator(parse_rate),
    PlainSerializer(lambda value: f"{format_size(value)}/s", return_type=str),
    _text(r"^[0-9]+(\.[0-9]+)?(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)/s$"),
]
