"""What the deadband keeps and what it suppresses, and the same decisions by a slow and obvious model."""

import struct
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config.models import Deadband
from edge_agent.pipeline.deadband import DeadbandFilter
from edge_agent.wire.quality import Quality, QualityRun
from edge_agent.wire.schema import Schema, TagSchema, ValueType

SECOND = 1_000_000_000


class Tag:
    """One tag of one type behind a deadband; `keeps` feeds it a value a second."""

    def __init__(self, type_: ValueType, tag: dict[str, Any] | None = None, **band: Any) -> None:
        self.schema = Schema.of("plc", "g", 1, [TagSchema("t", type_, **(tag or {}))])
        self.filter = DeadbandFilter(self.schema, {"t": Deadband(**band)})
        self.now = 0

    def keeps(self, value: Any, quality: Sequence[QualityRun] = (), after: float = 1.0) -> bool:
        self.now += round(after * SECOND)
        spec = self.schema.tags[0]
        row, text = b"", None
        if spec.row_bytes and value is not None:
            values = value if isinstance(value, list) else [value]
            row = struct.pack(f"<{len(values)}{spec.type.typecode}", *values)
        elif not spec.row_bytes:
            text = (value,)
        return bool(self.filter.select(row, text, quality, self.now)[0])

    def kept(self, values: Sequence[Any]) -> list[Any]:
        return [value for value in values if self.keeps(value)]


BAD = (QualityRun(0, 1, Quality.BAD_COMM),)


def test_the_first_value_is_always_kept_even_if_it_is_zero() -> None:
    assert Tag(ValueType.UINT16, absolute=5).keeps(0)


def test_a_slow_drift_is_kept_because_changes_are_measured_from_the_last_kept_value() -> None:
    assert Tag(ValueType.INT16, absolute=5).kept(range(21)) == [0, 5, 10, 15, 20]


def test_absolute_is_in_the_tags_unit_and_a_negative_scale_has_no_influence() -> None:
    for scale in (0.1, -0.1):
        tag = Tag(ValueType.INT16, {"scale": scale, "offset": 100.0}, absolute=0.5)
        assert tag.kept([0, 4, 5, 1, 0, -1]) == [0, 5, 0]


def test_percent_is_of_the_last_kept_engineering_value() -> None:
    tag = Tag(ValueType.INT16, {"scale": -1.0, "offset": -100.0}, percent=10)
    # −100, −109, −110, −120, −121: ten percent of 100 and then of 110.
    assert tag.kept([0, 9, 10, 20, 21]) == [0, 10, 21]


def test_any_change_from_zero_is_more_than_a_percentage_of_it() -> None:
    assert Tag(ValueType.FLOAT32, percent=50).kept([0.0, 0.0, 0.125, 0.0]) == [0.0, 0.125, 0.0]


def test_a_zero_element_that_does_not_move_keeps_no_array() -> None:
    tag = Tag(ValueType.UINT16, {"count": 2}, percent=10)
    assert tag.kept([[0, 1000], [0, 1001], [0, 1100]]) == [[0, 1000], [0, 1100]]


def test_an_array_is_kept_whole_when_one_element_moved_far_enough() -> None:
    tag = Tag(ValueType.FLOAT64, {"count": 3}, absolute=1.0)
    assert tag.kept([[1, 2, 3], [1.5, 2.5, 3.5], [1, 2, 4]]) == [[1, 2, 3], [1, 2, 4]]


def test_on_change_keeps_every_change_however_small() -> None:
    assert Tag(ValueType.FLOAT32, on_change=True).kept([1.0, 1.0, 1.0 + 2**-20, 1.0]) == [
        1.0,
        1.0 + 2**-20,
        1.0,
    ]


@pytest.mark.parametrize("type_", [ValueType.STRING, ValueType.JSON])
def test_texts_and_structures_are_kept_on_change(type_: ValueType) -> None:
    assert Tag(type_, on_change=True).kept(["a", "a", "b", "", "b"]) == ["a", "b", "", "b"]


def test_sixty_four_bit_counters_are_compared_exactly() -> None:
    tag = Tag(ValueType.UINT64, on_change=True)
    assert tag.kept([2**63, 2**63 + 1, 2**63 + 1]) == [2**63, 2**63 + 1]


def test_tb_1896_on_change_but_not_more_often_than_the_minimum_interval() -> None:
    tag = Tag(ValueType.UINT16, on_change=True, min_interval="5s")
    # A value each second, each another: one in five, and the change is not forgotten meanwhile.
    assert tag.kept(range(11)) == [0, 5, 10]
    assert tag.kept([10, 10, 10, 10, 10, 11]) == [11]


def test_the_maximum_interval_keeps_a_value_that_does_not_change() -> None:
    tag = Tag(ValueType.UINT16, absolute=5, max_interval="4s")
    assert [tag.keeps(7) for _ in range(10)] == [True, *[False, False, False, True] * 2, False]


def test_a_kept_change_begins_the_maximum_interval_anew() -> None:
    tag = Tag(ValueType.UINT16, on_change=True, max_interval="4s")
    assert [tag.keeps(value) for value in (1, 1, 2, 2, 2, 2, 2)] == [
        True, False, True, False, False, False, True,
    ]  # fmt: skip


def test_a_maximum_interval_alone_keeps_changes_and_a_minimum_alone_keeps_all() -> None:
    assert Tag(ValueType.UINT16, max_interval="1d").kept([1, 1, 2]) == [1, 2]
    tag = Tag(ValueType.UINT16, min_interval="2s")
    assert [tag.keeps(1) for _ in range(4)] == [True, False, True, False]


def test_a_change_of_quality_is_kept_in_spite_of_every_interval() -> None:
    tag = Tag(ValueType.UINT16, absolute=100, min_interval="1d")
    assert tag.keeps(1)
    assert tag.keeps(None, BAD)
    assert not tag.keeps(None, BAD)
    assert tag.keeps(None, (QualityRun(0, 1, Quality.BAD_DEVICE),))
    assert tag.keeps(2, (QualityRun(0, 1, Quality.UNCERTAIN, False, 0x40000000),))
    assert tag.keeps(2, (QualityRun(0, 1, Quality.UNCERTAIN, False, 0x40920000),))


@pytest.mark.parametrize("type_", [ValueType.UINT16, ValueType.STRING])
def test_the_same_value_is_kept_again_after_a_bad_period(type_: ValueType) -> None:
    value: Any = 7 if type_ is ValueType.UINT16 else "seven"
    tag = Tag(type_, on_change=True)
    assert [tag.keeps(value), tag.keeps(value)] == [True, False]
    assert [tag.keeps(None, BAD), tag.keeps(None, BAD)] == [True, False]
    assert [tag.keeps(value), tag.keeps(value)] == [True, False]


def test_a_bad_tag_is_said_again_at_the_maximum_interval() -> None:
    tag = Tag(ValueType.UINT16, on_change=True, max_interval="3s")
    assert [tag.keeps(None, BAD) for _ in range(7)] == [True, False, False, True, False, False, True]


def test_tags_without_a_rule_and_with_an_empty_one_are_always_kept() -> None:
    schema = Schema.of("plc", "g", 1, [TagSchema(name, ValueType.UINT8) for name in "abc"])
    filter_ = DeadbandFilter(schema, {"b": Deadband(on_change=True), "c": Deadband()})
    assert list(filter_.select(b"\x01\x02\x03", None, (), 0)) == [1, 1, 1]
    assert list(filter_.select(b"\x01\x02\x03", None, (), SECOND)) == [1, 0, 1]


# --- the model -----------------------------------------------------------------------------------

BANDS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(dict, absolute=st.sampled_from([0.5, 1.0, 2.0])),
    st.builds(dict, percent=st.sampled_from([1.0, 50.0])),
    st.just({"on_change": True}),
    st.just({}),
)
INTERVALS = st.sampled_from(
    [{}, {"min_interval": "2s"}, {"max_interval": "3s"}, {"min_interval": "2s", "max_interval": "3s"}]
)
MARKS = st.sampled_from([None, None, None, (Quality.BAD_COMM, True, 0), (Quality.UNCERTAIN, False, 9)])
CYCLES = st.lists(st.lists(st.tuples(st.integers(-3, 3), MARKS), min_size=6, max_size=6), max_size=12)


class Model:
    """One tag, decided the slow way."""

    def __init__(self, band: Deadband, scale: float) -> None:
        self.band, self.scale = band, scale
        self.kept: tuple[int, Any, int] | None = None

    def keeps(self, value: int, mark: Any, now: int) -> bool:
        keep = self.kept is None or self.kept[1] != mark or self._is_new(value, *self.kept, now)
        if keep:
            self.kept = (value, mark, now)
        return keep

    def _is_new(self, value: int, old: int, mark: Any, at: int, now: int) -> bool:
        band = self.band
        if now - at < band.min_interval:
            return False
        if band.max_interval is not None and now - at >= band.max_interval:
            return True
        if band.absolute is not None:
            return abs(value - old) * abs(self.scale) >= band.absolute
        if band.percent is not None:
            return value != old and abs(value - old) * 100 >= band.percent * abs(old)
        if band.on_change or band.max_interval is not None:
            return value != old
        return True


@given(st.lists(st.tuples(BANDS, INTERVALS), min_size=6, max_size=6), st.sampled_from([0.5, -2.0]), CYCLES)
def test_it_decides_as_the_model_does(
    rules: list[tuple[dict[str, Any], dict[str, str]]],
    scale: float,
    cycles: list[list[tuple[int, tuple[Quality, bool, int] | None]]],
) -> None:
    bands = [Deadband(**band, **intervals) for band, intervals in rules]
    tags = [TagSchema(f"t{number}", ValueType.INT16, scale=scale) for number in range(6)]
    filter_ = DeadbandFilter(
        Schema.of("plc", "g", 1, tags), {f"t{number}": band for number, band in enumerate(bands)}
    )
    models = [Model(band, scale) for band in bands]
    for now, cycle in enumerate(cycles):
        quality = [
            QualityRun(index, 1, mark[0], mark[1], mark[2])
            for index, (_, mark) in enumerate(cycle)
            if mark is not None
        ]
        values = [0 if mark is not None and mark[1] else value for value, mark in cycle]
        row = b"" if len(quality) == 6 and all(run.null for run in quality) else struct.pack("<6h", *values)
        wanted = [
            model.keeps(value, mark, now)
            for model, value, (_, mark) in zip(models, values, cycle, strict=True)
        ]
        assert list(filter_.select(row, None, quality, now * SECOND)) == wanted
