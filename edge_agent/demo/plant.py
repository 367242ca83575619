"""The demo's plant: what its PLCs hold, as config for the agent and as formulas for the verdict. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from edge_agent.drivers.modbus.simulator.signals import Kind, Signal, Value, expected

TICK_MS: Final = 250


@dataclass(frozen=True, slots=True)
class DemoTag:
    """A tag of the config and the signal that the simulator makes for it."""

    name: str
    signal: Signal
    scale: float = 1.0
    unit: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        signal = self.signal
        result: dict[str, Any] = {
            "name": self.name,
            "address": f"{signal.area}:{signal.address}",
            "type": signal.type,
            **self.options,
        }
        if self.scale != 1.0:
            result["scale"] = self.scale
        if self.unit:
            result["unit"] = self.unit
        return result

    def matches(self, value: object, wall_ms: int, tolerance_ms: int) -> bool:
        """Whether a value at the centre is exactly that of some tick near its time."""
        first = (wall_ms - tolerance_ms) // TICK_MS
        last = (wall_ms + tolerance_ms) // TICK_MS
        return any(self._engineering(expected(self.signal, k)) == value for k in range(first, last + 1))

    def _engineering(self, raw: Value) -> object:
        if self.scale == 1.0 or not isinstance(raw, int | float):
            return raw
        return float(f"{raw * self.scale:.15g}")


@dataclass(frozen=True, slots=True)
class DemoGroup:
    name: str
    interval_ms: int
    tags: Sequence[DemoTag]
    unit_id: int | None = None

    def settings(self) -> dict[str, Any]:
        result: dict[str, Any] = {
            "name": self.name,
            "interval": f"{self.interval_ms}ms",
            "tags": [tag.settings() for tag in self.tags],
        }
        if self.unit_id is not None:
            result["unit_id"] = self.unit_id
        return result


@dataclass(frozen=True, slots=True)
class DemoPlc:
    name: str
    framing: str
    groups: Sequence[DemoGroup]

    def settings(self, port: int) -> dict[str, Any]:
        return {
            "name": self.name,
            "driver": "modbus",
            "transport": {"type": self.framing, "host": "127.0.0.1", "port": port, "timeout": "1s"},
            "groups": [group.settings() for group in self.groups],
        }

    def signals(self) -> list[dict[str, Any]]:
        """What `edge-agent simulate modbus --signals` reads; the default signals need no mention."""
        return [
            {key: value for key, value in asdict(tag.signal).items() if key != "tick_ms"}
            for group in self.groups
            for tag in group.tags
            if tag.signal.kind is not Kind.DEFAULT
        ]


def _signal(area: str, address: int, kind: Kind, type_: str, **more: Any) -> Signal:
    return Signal(area, address, kind, type_, tick_ms=TICK_MS, **more)


def _press() -> DemoPlc:
    oil = _signal("holding", 0, Kind.SINE, "float32", low=41.5, high=58.0, period=240, word_order="little")
    force = _signal("holding", 2, Kind.RAMP, "uint16", low=0, high=4000, period=80)
    strokes = _signal("holding", 4, Kind.COUNTER, "uint32")
    running = _signal("coil", 0, Kind.SQUARE, "bool", high=1, period=120)
    batch = _signal("holding", 20, Kind.TEXT, "string", text="LOT", length=8, period=400)
    return DemoPlc(
        "press",
        "tcp",
        [
            DemoGroup(
                "fast",
                500,
                [
                    DemoTag("oil_temperature", oil, unit="°C", options={"word_order": "little"}),
                    DemoTag("force", force, scale=0.1, unit="kN"),
                    DemoTag("strokes", strokes),
                    DemoTag("running", running),
                    DemoTag("batch", batch, options={"length": 8}),
                ],
            ),
            DemoGroup(
                "zones",
                1000,
                [
                    DemoTag(
                        f"zone{number:02d}",
                        _signal("holding", 99 + number, Kind.SINE, "int16", low=1800, high=2200, period=200),
                        scale=0.1,
                        unit="°C",
                    )
                    for number in range(1, 17)
                ],
            ),
        ],
    )


def _oven() -> DemoPlc:
    power = _signal("input", 0, Kind.RANDOM, "float32", low=8, high=12)
    energy = _signal("input", 10, Kind.COUNTER, "uint64")
    door = _signal("discrete", 5, Kind.SQUARE, "bool", high=1, period=60)
    return DemoPlc(
        "oven",
        "tcp",
        [
            DemoGroup(
                "all",
                500,
                [
                    DemoTag("power", power, unit="kW"),
                    DemoTag("energy", energy, unit="Wh"),
                    DemoTag("door_open", door),
                    DemoTag("온도", _signal("input", 20, Kind.SINE, "int16", low=150, high=240), unit="°C"),
                ],
            )
        ],
    )


def _packing() -> DemoPlc:
    """A serial line behind a gateway, with three stations."""
    groups = [
        DemoGroup(
            f"station-{unit}",
            1000,
            [
                DemoTag(f"s{unit}_count", _signal("holding", 0, Kind.COUNTER, "uint32")),
                DemoTag(f"s{unit}_speed", _signal("holding", 2, Kind.RANDOM, "uint16", low=55, high=65)),
                DemoTag(f"s{unit}_raw", Signal("holding", 50, tick_ms=TICK_MS)),
            ],
            unit,
        )
        for unit in (1, 2, 3)
    ]
    return DemoPlc("packing", "rtu_over_tcp", groups)


PLANT: Final[Sequence[DemoPlc]] = (_press(), _oven(), _packing())


def samples_per_second() -> float:
    return sum(len(group.tags) * 1000 / group.interval_ms for plc in PLANT for group in plc.groups)
