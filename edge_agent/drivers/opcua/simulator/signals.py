"""What a simulated node holds: a pure function of its name, its index and the tick.

A tick is `floor(wall_ms / tick_ms)`, and the source time of a value is the beginning of its tick: so a sample
tells by itself which value it must have. Values are Python's own; `nodes` makes OPC UA's of them.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_RANGES: Final = {
    "SByte": (8, True), "Byte": (8, False), "Int16": (16, True), "UInt16": (16, False),
    "Int32": (32, True), "UInt32": (32, False), "Int64": (64, True), "UInt64": (64, False),
}  # fmt: skip
SLOW_TICKS: Final = 600


class Pace(StrEnum):
    """How often a value changes: with each tick, every `SLOW_TICKS` ticks, or never."""

    TICK = "tick"
    SLOW = "slow"
    STATIC = "static"


@dataclass(frozen=True, slots=True)
class Signal:
    """One variable. name: its string identifier; the path in the address space follows from the dots.

    type: the built-in type (OPC UA Part 6, 5.1.2), or `Structure`. index: moves the formula. shape: elements
    in each dimension, empty for a scalar. status: of every value; a bad one has none. writable: where the
    simulator takes writes, holds what was written from then on.
    """

    name: str
    type: str = "Double"
    index: int = 0
    shape: tuple[int, ...] = ()
    pace: Pace = Pace.TICK
    status: str = "Good"
    writable: bool = False
    unit: str = ""
    description: str = ""


def expected(signal: Signal, k: int) -> Any:
    """The value at tick `k`; nested lists for arrays. None where the status is bad."""
    if signal.status.startswith("Bad"):
        return None
    if signal.pace is Pace.STATIC:
        k = 0
    elif signal.pace is Pace.SLOW:
        k //= SLOW_TICKS
    return _shaped(signal, k, signal.shape, signal.index)


def _shaped(signal: Signal, k: int, shape: tuple[int, ...], index: int) -> Any:
    if not shape:
        return _element(signal.type, k, index)
    width = 1
    for size in shape[1:]:
        width *= size
    return [_shaped(signal, k, shape[1:], index + each * width) for each in range(shape[0])]


def _element(kind: str, k: int, index: int) -> Any:
    if known := _RANGES.get(kind):
        bits, signed = known
        number = (k * 7 + index * 31) & (1 << bits) - 1
        return number - (1 << bits) if signed and number >> bits - 1 else number
    return _FORMULAS[kind](k, index)


def _structure(k: int, index: int) -> dict[str, Any]:
    return {
        "Running": (k + index) % 2 == 0,
        "Speed": _double(k, index),
        "Name": f"pump {index}",
        "Counts": [_element("Int32", k, index + each) for each in range(3)],
    }


def _float(k: int, index: int) -> float:
    """Eighths: float32 holds them exactly."""
    return (k + index) % 8_000 / 8


def _double(k: int, index: int) -> float:
    return (k + index) % 1_000_000 / 16


_FORMULAS: Final[dict[str, Callable[[int, int], Any]]] = {
    "Boolean": lambda k, index: (k + index) % 2 == 0,
    "Float": _float,
    "Double": _double,
    "String": lambda k, index: f"tick {k + index}",
    "DateTime": lambda k, index: _EPOCH + timedelta(seconds=(k + index) % 1_000_000_000),
    "Guid": lambda k, index: uuid.UUID(int=k + index),
    "ByteString": lambda k, index: (k + index).to_bytes(8, "big"),
    "XmlElement": lambda k, index: f"<tick>{k + index}</tick>",
    "NodeId": lambda k, index: f"ns=1;i={(k + index) % 1_000_000}",
    "ExpandedNodeId": lambda k, index: f"ns=1;i={(k + index) % 1_000_000}",
    "StatusCode": lambda k, index: 0 if (k + index) % 2 == 0 else 0x408F0000,
    "QualifiedName": lambda k, index: f"1:tick{k + index}",
    "LocalizedText": lambda k, index: f"tick {k + index}",
    "Structure": _structure,
}
BUILT_IN: Final = (
    "Boolean", *_RANGES, *(each for each in _FORMULAS if each not in ("Boolean", "Structure")),
)  # fmt: skip


def signals(items: int) -> tuple[Signal, ...]:
    """All variables of a server with so many `Items`."""
    return (
        *(Signal(f"Items.{index:05d}", index=index) for index in range(items)),
        *(Signal(f"Types.{kind}", kind) for kind in BUILT_IN),
        *(Signal(f"Arrays.{kind}", kind, shape=(5,)) for kind in _IN_ARRAYS),
        Signal("Arrays.Matrix", "Double", shape=(2, 3)),
        Signal("Structures.Pump", "Structure"),
        Signal("Structures.Pumps", "Structure", shape=(2,)),
        Signal("Plant.Temperature", unit="°C", description="Oil temperature of the press"),
        Signal("Plant.Slow", pace=Pace.SLOW, description="Changes every 600 ticks"),
        Signal("Plant.Static", "Int32", index=42, pace=Pace.STATIC, description="Never changes"),
        Signal("Plant.Broken", status="BadSensorFailure", description="A sensor that has failed"),
        Signal("Plant.Doubtful", status="UncertainLastUsableValue"),
        *(
            Signal(f"Settings.{kind}", kind, pace=Pace.STATIC, writable=True)
            for kind in ("Boolean", "Int16", "UInt32", "Float", "Double", "String")
        ),
        Signal("Settings.Array", "Int32", shape=(5,), pace=Pace.STATIC, writable=True),
    )


_IN_ARRAYS: Final = (
    "Boolean", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double",
    "String", "DateTime",
)  # fmt: skip
