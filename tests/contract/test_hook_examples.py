"""The hooks of docs/hooks, each run in a real worker, confined, on what its page says it is for."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from edge_agent.hooks.layers import ON
from edge_agent.hooks.process import WorkerProcess
from edge_agent.hooks.runner import Alert
from edge_agent.wire.schema import TagSchema, ValueType
from tests.unit.hooks.worker.desk import Desk, Shown

EXAMPLES = Path(__file__).parents[2] / "docs" / "hooks"
PRESSES = [TagSchema("oil_temp", ValueType.INT16, scale=0.1, unit="°C"),
           *(TagSchema(f"pressure{n}", ValueType.FLOAT32, unit="bar") for n in range(1, 5))]  # fmt: skip
Rows = Sequence[Mapping[str, Any]]


def tags(**types: str) -> list[TagSchema]:
    return [TagSchema(name, ValueType(type_)) for name, type_ in types.items()]


def at(seconds: float, quality: Mapping[str, str] | None = None, **values: Any) -> dict[str, Any]:
    return {":": {"time": 1_000_000 + round(seconds * 1_000), "quality": quality or {}}, **values}


def shown_by(
    example: str, point: str, of: Sequence[TagSchema], rows: Rows, **settings: Any
) -> tuple[list[Shown], Sequence[Alert]]:
    """What goes on of each frame, and the alerts."""

    async def run() -> tuple[list[Shown], Sequence[Alert]]:
        worker = await WorkerProcess.start()
        try:
            assert set(worker.layers.values()) == {ON}, worker.layers
            desk = await Desk.of((EXAMPLES / example).read_text(), point, of, worker, **settings)
            found = await desk.run(rows)
            assert all(isinstance(each, dict) for each in found), found
            assert desk.ran is not None
            return [each for each in found if isinstance(each, dict)], desk.ran.alerts
        finally:
            await worker.close()

    return asyncio.run(run())


def values(shown: Sequence[Shown], name: str) -> list[Any]:
    """Of one tag, frame by frame: its value, its quality where it is not good, `…` where it is absent."""
    found: list[Any] = []
    for each in shown:
        value = each.get(name)
        found.append("…" if value is None else value.value if value.quality == "good" else value.quality)
    return found


def test_unit_conversion() -> None:
    row: dict[str, Any] = {"oil_temp": 25.0, **{f"pressure{n}": float(n) for n in range(1, 5)}}
    broken = at(1, {"pressure2": "bad_comm"}, **{**row, "pressure2": None})
    shown, _ = shown_by("unit_conversion.py", "transform", PRESSES, [at(0, **row), broken], keep_raw=True)
    assert values(shown, "oil_temp") == [77.0, 77.0]
    assert values(shown, "oil_temp.raw") == [25.0, 25.0]
    assert values(shown, "pressure1") == pytest.approx([14.5038] * 2)
    assert values(shown, "pressure2") == [pytest.approx(29.0076), "bad_comm"]
    assert values(shown, "pressure4.raw") == [4.0, 4.0]


def test_counter_rollover() -> None:
    counts = [65_530, 65_534, 4, None, 10, 10]
    rows = [
        at(n, {"pieces": "bad_comm"} if count is None else {}, pieces=count) for n, count in enumerate(counts)
    ]
    shown, _ = shown_by("counter_rollover.py", "transform", tags(pieces="uint16"), rows)
    assert values(shown, "pieces_total") == [0, 4, 10, "…", 16, 16]


def test_bit_unpacking() -> None:
    rows = [
        at(0, status=0b0000_0101_0000_1001),
        at(1, status=0x8000),
        at(2, {"status": "bad_comm"}, status=None),
    ]
    shown, _ = shown_by("bit_unpacking.py", "transform", tags(status="uint16"), rows)
    assert values(shown, "pump_on") == [True, False, "bad_comm"]
    assert values(shown, "door_open") == [True, False, "bad_comm"]
    assert values(shown, "fault") == [False, True, "bad_comm"]
    assert values(shown, "mode") == [5, 0, "bad_comm"]


def test_moving_average() -> None:
    rows: list[dict[str, Any]] = [at(n, level=float(n)) for n in range(12)]
    rows.insert(3, at(2.5, {"level": "uncertain"}, level=99.0))
    shown, _ = shown_by("moving_average.py", "transform", tags(level="float32"), rows)
    means = values(shown, "level_mean")
    assert means[:5] == [0.0, 0.5, 1.0, "…", 1.5]
    assert means[-1] == pytest.approx(sum(range(2, 12)) / 10)


def test_rate_of_change() -> None:
    temps = [(0, 20.0), (30, 21.0), (60, 25.0), (90, 30.0), (120, None), (150, 30.0), (180, 30.5)]
    rows = [at(s, {"oil_temp": "bad_comm"} if t is None else {}, oil_temp=t) for s, t in temps]
    shown, alerts = shown_by("rate_of_change.py", "transform", tags(oil_temp="float64"), rows)
    assert values(shown, "oil_rate") == ["…", 2.0, 8.0, 10.0, "…", "…", 1.0]
    assert [(each.code, each.index, each.data) for each in alerts] == [("oil_heats_up", 2, {"rate": 8.0})]


def test_the_rate_of_change_of_a_tag_with_a_deadband_is_over_all_the_time_that_it_did_not_change() -> None:
    rows = [at(0, oil_temp=20.0, x=0), at(30, x=1), at(60, x=2), at(90, oil_temp=23.0, x=3)]
    of = tags(oil_temp="float64", x="int8")
    shown, alerts = shown_by("rate_of_change.py", "transform", of, rows)
    assert values(shown, "oil_rate") == ["…", "…", "…", 2.0]
    assert not alerts


def test_energy_from_power() -> None:
    powers = [(0, 60.0), (60, 60.0), (120, 120.0), (180, None), (240, 120.0), (1_000, 120.0)]
    rows = [at(s, {"power": "bad_comm"} if p is None else {}, power=p) for s, p in powers]
    shown, _ = shown_by("energy_from_power.py", "transform", tags(power="float32"), rows)
    assert values(shown, "energy") == [
        0.0, pytest.approx(1.0), pytest.approx(2.5), "bad_comm", pytest.approx(6.5), pytest.approx(6.5),
    ]  # fmt: skip


def test_batch_id() -> None:
    of = tags(line="uint8", year="uint16", day_of_year="uint16", batch_number="uint16")
    rows = [
        at(0, line=2, year=2026, day_of_year=45, batch_number=17),
        at(1, line=2, year=2026, day_of_year=45, batch_number=0),
        at(2, {"year": "bad_value"}, line=2, year=None, day_of_year=45, batch_number=18),
    ]
    shown, _ = shown_by("batch_id.py", "transform", of, rows)
    assert values(shown, "batch_id") == ["L2-26045-0017", "", "bad_value"]


def test_privacy_filter() -> None:
    of = tags(operator_name="string", operator_shift="string", badge="string", oil="int16")
    rows = [
        at(n, operator_name="Kim", operator_shift="A", badge=badge, oil=20)
        for n, badge in enumerate(("K7", " "))
    ]
    shown, _ = shown_by("privacy_filter.py", "before_forward", of, rows, on_failure="withhold")
    assert [sorted(each) for each in shown] == [["badge", "oil"]] * 2
    assert values(shown, "badge") == ["somebody", ""]
    (others,), _ = shown_by("privacy_filter.py", "before_forward", tags(oil="int16"), [at(0, oil=1)])
    assert sorted(others) == ["oil"]
    of = tags(operator_card="string", oil="int16")
    (only,), _ = shown_by("privacy_filter.py", "before_forward", of, [at(0, operator_card="K7", oil=1)])
    assert sorted(only) == ["oil"]


def test_watchdog_tag() -> None:
    lives = [(0, 1), (5, 2), (10, 2), (16, 2), (20, None), (21, 3)]
    rows = [at(s, {"life": "bad_comm"} if life is None else {}, life=life) for s, life in lives]
    shown, alerts = shown_by("watchdog_tag.py", "on_cycle", tags(life="uint16"), rows)
    assert values(shown, "plc_alive") == [True, True, True, False, False, True]
    assert [(each.code, each.index) for each in alerts] == [("plc_stopped", 3)]


def test_shift_totals() -> None:
    async def run() -> list[Any]:
        worker = await WorkerProcess.start()
        try:
            desk = await Desk.of((EXAMPLES / "shift_totals.py").read_text(), "on_schedule", worker=worker)
            shown = []
            for hour, pieces, scrap, quality in (
                (6, 100, 1, 0),
                (14, 900, 9, 0),
                (22, None, 9, 5),
                (30, 900, 9, 0),
            ):
                now = hour * 3_600_000
                read = {"press1.pieces_total": [pieces, quality, now], "press1.scrap_total": [scrap, 0, now]}
                shown.append(await desk.call({"t": now + 50, "scheduled": now, "v": read}))
            return shown
        finally:
            await worker.close()

    shown = asyncio.run(run())
    assert values(shown, "shift_pieces") == [0, 800, "bad_comm", 0]
    assert values(shown, "shift_scrap") == [0, 8, "bad_comm", 0]
    assert values(shown, "shift_yield") == ["…", 99.0, "bad_comm", "…"]


def test_every_example_has_its_test() -> None:
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in EXAMPLES.glob("*.py")} <= tested
    assert len(list(EXAMPLES.glob("*.py"))) == 10
