"""Numbers, sizes and times as people read them. Pure."""

from datetime import UTC, datetime
from typing import Final

NONE: Final = "–"
_BINARY: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(size_bytes: int | None) -> str:
    """`3.4 MiB`."""
    if size_bytes is None:
        return NONE
    value, unit = float(size_bytes), _BINARY[0]
    for larger in _BINARY[1:]:
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def span(seconds: float) -> str:
    """A duration by its two largest units: `3h 12m`, `4m 5s`, `12s`, `0.4s`."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f}s"
    whole = int(seconds)
    for unit, length, smaller, shorter in (
        ("d", 86_400, "h", 3_600),
        ("h", 3_600, "m", 60),
        ("m", 60, "s", 1),
    ):
        if whole >= length:
            rest = whole % length // shorter
            return f"{whole // length}{unit}" + (f" {rest}{smaller}" if rest else "")
    return f"{whole}s"


def age(time_ms: int | None, now_ms: int) -> str:
    """How long ago something was."""
    return NONE if not time_ms else span((now_ms - time_ms) / 1_000)


def interval(seconds: float) -> str:
    """A polling interval as the config writes it: `500ms`, `1s`, `1.5s`."""
    return f"{seconds * 1_000:g}ms" if seconds < 1 else f"{seconds:g}s"


def percent(value: float | None) -> str:
    return NONE if value is None else f"{value:.0f} %"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1_000:.1f}"


def time(time_ms: int | None) -> str:
    """`2026-01-02 03:04:05.678Z`: UTC, as everywhere."""
    if not time_ms:
        return NONE
    moment = datetime.fromtimestamp(time_ms / 1_000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{time_ms % 1_000:03d}Z"


def plural(count: int, word: str) -> str:
    """`1 tag`, `1,240 tags`, `3 batches`."""
    ending = "" if count == 1 else "es" if word.endswith("ch") else "s"
    return f"{count:,} {word}{ending}"
