"""Numbers, sizes and times as people read them. Pure."""

from datetime import UTC, datetime

from edge_agent.contracts.figures import NONE, size, span

__all__ = ["NONE", "age", "interval", "milliseconds", "percent", "plural", "size", "span", "time"]


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
