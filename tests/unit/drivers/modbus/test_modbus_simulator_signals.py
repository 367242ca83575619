"""Signals: formulas that anyone can recompute, and the bytes that a station makes of them."""

import struct
from typing import Any

import pytest

from edge_agent.drivers.modbus.simulator.image import Image
from edge_agent.drivers.modbus.simulator.signals import (
    Kind,
    Signal,
    default_signal,
    encode,
    expected,
    matches,
)


@pytest.mark.parametrize(
    ("area", "address", "k", "value"),
    [
        ("holding", 0, 0, 0),
        ("holding", 100, 3, 100 * 31 + 3 * 7),
        ("holding", 65535, 1_700_000_000, (65535 * 31 + 1_700_000_000 * 7) % 65536),
        ("input", 10, 2, 2 * 13 + 10 * 17 + 4711),
        ("coil", 0, 0, True),
        ("coil", 3, 0, True),
        ("coil", 2, 0, False),
        ("discrete", 3, 0, False),
    ],
)
def test_default_signals(area: str, address: int, k: int, value: object) -> None:
    assert expected(default_signal(area, address), k) == value


@pytest.mark.parametrize(
    ("values", "k", "value"),
    [
        ({"kind": "ramp", "type": "float64", "period": 10, "high": 50}, 3, 15.0),
        ({"kind": "ramp", "type": "uint16", "period": 10, "high": 50}, 13, 15),
        ({"kind": "counter", "type": "uint32"}, 70_000, 70_000),
        ({"kind": "counter", "type": "int16"}, 40_000, 40_000 - 65_536),
        ({"kind": "counter", "type": "float32"}, (1 << 24) + 5, 5.0),
        ({"kind": "sine", "type": "float64", "period": 4, "low": -10, "high": 10}, 1, 10.0),
        ({"kind": "sine", "type": "float32", "period": 8, "low": -1, "high": 1}, 1, 0.7099999785423279),
        ({"kind": "square", "type": "int16", "period": 4, "low": -5, "high": 5}, 1, -5),
        ({"kind": "square", "type": "int16", "period": 4, "low": -5, "high": 5}, 2, 5),
        ({"kind": "constant", "type": "int64", "low": -7}, 99, -7),
        ({"kind": "text", "type": "string", "length": 8, "text": "LOT", "period": 50}, 103, "LOT0003"),
        ({"kind": "square", "type": "bool", "period": 2, "high": 1}, 1, True),
        ({"kind": "counter", "type": "uint16", "count": 3}, 5, [5, 6, 7]),
        ({"kind": "counter", "type": "uint32", "count": 2}, 5, [5, 7]),
    ],
)
def test_formulas(values: dict[str, Any], k: int, value: object) -> None:
    signal = Signal("holding", 0, **{**values, "kind": Kind(values["kind"])})
    assert expected(signal, k) == value


def test_random_stays_within_its_limits_and_repeats_itself() -> None:
    signal = Signal("holding", 7, Kind.RANDOM, "float64", low=-3.0, high=4.0)
    values = [expected(signal, k) for k in range(500)]
    assert all(isinstance(value, float) and -3.0 <= value <= 4.0 for value in values)
    assert len(set(values)) > 300
    assert values == [expected(signal, k) for k in range(500)]


def test_a_sample_matches_the_ticks_around_its_time_and_no_others() -> None:
    signal = Signal("holding", 0, Kind.COUNTER, "uint32", tick_ms=100)
    assert matches(signal, 50, wall_ms=5_050, tolerance_ms=0)
    assert not matches(signal, 49, wall_ms=5_050, tolerance_ms=50)
    assert matches(signal, 49, wall_ms=5_050, tolerance_ms=51)
    assert not matches(signal, 51, wall_ms=5_050, tolerance_ms=49)
    assert matches(signal, 51, wall_ms=5_050, tolerance_ms=50)
    assert not matches(signal, 50.000001, wall_ms=5_050, tolerance_ms=1000)


def test_float32_is_compared_as_the_station_holds_it() -> None:
    signal = Signal("holding", 3, Kind.RANDOM, "float32", high=1.0)
    value = expected(signal, 17)
    assert isinstance(value, float)
    assert struct.unpack(">f", struct.pack(">f", value))[0] == value
    assert not matches(signal, round(value, 2) + 1e-12, wall_ms=17_000, tolerance_ms=0)


@pytest.mark.parametrize(
    ("byte_order", "word_order", "data"),
    [
        ("big", "big", "01020304"),
        ("big", "little", "03040102"),
        ("little", "big", "02010403"),
        ("little", "little", "04030201"),
    ],
)
def test_orders(byte_order: str, word_order: str, data: str) -> None:
    signal = Signal(
        "holding", 0, Kind.CONSTANT, "uint32", low=0x01020304, byte_order=byte_order, word_order=word_order
    )
    assert encode(signal, 0).hex() == data


def test_texts_are_padded_and_turned_like_registers() -> None:
    signal = Signal("holding", 0, Kind.TEXT, "string", text="A", length=6, byte_order="little")
    assert encode(signal, 12) == b"0A10\x002"
    assert expected(signal, 12) == "A0012"


class TestImage:
    """The bytes of replies."""

    @pytest.mark.parametrize("k", [0, 1, 9_999, 1_700_000_000])
    @pytest.mark.parametrize(("function", "area"), [(3, "holding"), (4, "input")])
    def test_registers_are_those_of_the_formula(self, function: int, area: str, k: int) -> None:
        image = Image(())
        for start in (0, 1, 40_000, 65_411):
            data = image.read(function, start, 125, k)
            values = [expected(default_signal(area, start + index), k) for index in range(125)]
            assert list(struct.unpack(">125H", data)) == values

    @pytest.mark.parametrize(("function", "area"), [(1, "coil"), (2, "discrete")])
    def test_bits_are_those_of_the_formula(self, function: int, area: str) -> None:
        data = Image(()).read(function, 5, 19, 77)
        assert len(data) == 3
        bits = [bool(data[index // 8] >> index % 8 & 1) for index in range(24)]
        wanted = [expected(default_signal(area, 5 + index), 77) for index in range(19)]
        assert bits == [*wanted, False, False, False, False, False]

    def test_a_signal_lies_over_the_default_also_where_it_is_cut(self) -> None:
        image = Image([Signal("holding", 10, Kind.CONSTANT, "uint32", low=0x01020304)])
        default = [expected(default_signal("holding", address), 0) for address in range(20)]
        assert struct.unpack(">4H", image.read(3, 9, 4, 0)) == (default[9], 0x0102, 0x0304, default[12])
        assert struct.unpack(">2H", image.read(3, 11, 2, 0)) == (0x0304, default[12])
        assert struct.unpack(">2H", image.read(3, 9, 2, 0)) == (default[9], 0x0102)

    def test_a_signal_sets_bits(self) -> None:
        image = Image([Signal("coil", 2, Kind.SQUARE, "bool", count=3, period=2, high=1)])
        data = image.read(1, 0, 8, 0)
        assert [data[0] >> index & 1 for index in (2, 3, 4)] == [0, 1, 0]

    def test_a_new_tick_has_new_values(self) -> None:
        image = Image(())
        assert image.read(3, 0, 1, 1) == b"\x00\x07"
        assert image.read(3, 0, 1, 2) == b"\x00\x0e"
