"""Sizes and durations as people read them, the same in every text. Pure."""

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


def latency(seconds: float) -> str:
    """What an answer took: `0.4 ms`, `12 ms`, from a second on as a span."""
    if seconds >= 1:
        return span(seconds)
    return f"{seconds * 1_000:.1f} ms" if seconds < 0.01 else f"{seconds * 1_000:.0f} ms"


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
