"""Durations, sizes and rates."""

from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from edge_agent.config.units import (
    Duration,
    Size,
    at_least,
    between,
    format_duration,
    format_size,
    parse_duration,
    parse_rate,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("2s", 2.0),
        ("1.5s", 1.5),
        ("1m", 60.0),
        ("3min", 180.0),
        ("24h", 86400.0),
        ("7d", 604800.0),
        ("50us", 0.00005),
        (" 5 s ", 5.0),
        ("0s", 0.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "value", [5, 0.5, "5", "5 parsecs", "-1s", "1s/s", "", "s", "1e3s", None, True, "9" * 400 + "s"]
)
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="with a unit such as 500ms"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("text", "size"), [("1B", 1), ("10MB", 10**7), ("256MiB", 256 << 20), ("1.5GiB", 3 << 29)]
)
def test_sizes_and_rates(text: str, size: int) -> None:
    assert parse_size(text) == size
    assert parse_rate(f"{text}/s") == size


@pytest.mark.parametrize("value", [5, "5", "5mb", "5MiB/s", "9" * 400 + "B"])
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match="with a unit such as 256MiB"):
        parse_size(value)


def test_a_rate_needs_its_seconds() -> None:
    with pytest.raises(ValueError, match="2MiB/s"):
        parse_rate("2MiB")


@given(st.integers(0, 10**15))
def test_a_duration_in_nanoseconds_survives_its_text(nanoseconds: int) -> None:
    seconds = round(nanoseconds / 1e9, 9)
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 1 << 50))
def test_a_size_survives_its_text(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "500ms"), (90.0, "90s"), (86400.0, "1d"), (0.0, "0s"), (1.5, "1500ms")]
)
def test_the_shortest_text(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize("text", ["9ms", "25h"])
def test_bounds_of_a_duration_are_named(text: str) -> None:
    adapter: TypeAdapter[float] = TypeAdapter(Annotated[Duration, between("10ms", "1d")])
    assert adapter.validate_python("1d") == 86400.0
    with pytest.raises(ValidationError, match=r"must be between 10ms and 1d \(got"):
        adapter.validate_python(text)


def test_a_lower_bound_of_a_size_is_named() -> None:
    adapter: TypeAdapter[int] = TypeAdapter(Annotated[Size, at_least("1MiB")])
    assert adapter.validate_python("1MiB") == 1 << 20
    with pytest.raises(ValidationError, match=r"must be at least 1MiB \(got 1MB\)"):
        adapter.validate_python("1MB")
