import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contracts.errors import ConfigError
from edge_agent.hooks import samples
from edge_agent.hooks.derive import declared, derive
from edge_agent.hooks.merge import merge
from edge_agent.wire.dry_run import DryFrame
from edge_agent.wire.frame import Frame, JsonValue
from edge_agent.wire.quality import Quality, QualityRun
from edge_agent.wire.schema import Order, Schema, TagSchema, ValueType
from edge_agent.wire.scripts import HookPoint, Script
from edge_agent.wire.values import pack

TAGS = [
    TagSchema("temp", ValueType.INT16, Order.ABCD, scale=0.1, offset=-40.0, unit="°C"),
    TagSchema("force", ValueType.FLOAT32, Order.CDAB),
    TagSchema("count", ValueType.UINT64),
    TagSchema("running", ValueType.BOOL),
    TagSchema("zones", ValueType.UINT16, count=3),
    TagSchema("batch", ValueType.STRING),
    TagSchema("recipe", ValueType.JSON),
]
SCHEMA = Schema.of("press1", "fast", 7, TAGS)
SCHEMAS = [{"connection": "press1", "group": "fast", "unit_id": 7,
            "tags": [tag.to_json() for tag in SCHEMA.tags]}]  # fmt: skip


def frame(values: dict[str, JsonValue], quality: dict[str, str] | None = None, time: int = 1_000) -> DryFrame:
    return DryFrame(connection="press1", group="fast", time=time, values=values, quality=quality or {})


def test_values_are_written_as_the_plc_holds_them_and_read_back() -> None:
    values: dict[str, JsonValue] = {
        "temp": 21.7, "force": 1.5, "count": (1 << 64) - 1, "running": True, "zones": [1, 2, 65_535],
        "batch": "LOT 한글", "recipe": {"a": [1, None]},
    }  # fmt: skip
    ((schema, made),) = samples.frames_of([frame(values)], SCHEMAS)
    assert schema == SCHEMA
    assert (made.n, made.wall_ms, made.mono_ns, made.read, made.present) == (1, 1_000, 10**9, 7, None)
    index = SCHEMA.index("temp")
    assert index is not None
    assert made.row[SCHEMA.edges[index] : SCHEMA.edges[index + 1]] == pack(ValueType.INT16, Order.ABCD, [617])
    shown = samples.shown(schema, made)
    assert {name: each.value for name, each in shown.items()} == values
    assert {each.quality for each in shown.values()} == {"good"}


def test_what_is_absent_bad_or_null_stays_so() -> None:
    given_frame = frame(
        {"temp": None, "force": None, "count": 3, "running": True, "recipe": None},
        {"force": "bad_comm", "running": "bad_hook", "zones": "stale", "recipe": "good"},
    )
    ((schema, made),) = samples.frames_of([given_frame], SCHEMAS)
    shown = samples.shown(schema, made)
    assert {name: (each.value, each.quality) for name, each in shown.items()} == {
        "temp": (None, "bad_value"), "force": (None, "bad_comm"), "count": (3, "good"),
        "running": (True, "bad_hook"), "zones": (None, "stale"), "recipe": (None, "good"),
    }  # fmt: skip
    assert made.read == 6


def test_frames_of_a_group_are_numbered_and_types_follow_from_all_of_its_values() -> None:
    other = DryFrame(connection="m", group="g", time=5, values={"x": 1})
    mixed: list[dict[str, JsonValue]] = [
        {"a": 1, "b": 1, "c": True, "d": "x", "e": [1], "f": None, "h": 1 << 63},
        {"a": 2, "b": 1.5, "c": False, "d": None, "e": {}, "f": None, "g": 1, "h": 1},
    ]
    found = samples.frames_of([frame(mixed[0]), other, frame(mixed[1])], [])
    assert [made.n for _, made in found] == [1, 1, 2]
    types = {tag.name: str(tag.type) for tag in found[0][0].tags}
    assert types == {"a": "int64", "b": "float64", "c": "bool", "d": "string", "e": "json", "f": "float64",
                     "g": "int64", "h": "float64"}  # fmt: skip
    assert samples.shown(*found[2])["b"].value == 1.5
    assert "g" not in samples.shown(*found[0])


@pytest.mark.parametrize(
    ("values", "quality", "text"),
    [
        ({"temps": 1}, {}, r"frames\[0\].values.temps: the schema of press1.fast has no such tag"),
        ({}, {"temps": "bad_comm"}, r"values.temps: the schema"),
        ({"temp": 9_999}, {}, r"values.temp: 9999 does not fit int16"),
        ({"temp": "warm"}, {}, r"values.temp: 'warm' does not fit int16"),
        ({"count": -1}, {}, r"values.count: -1 does not fit uint64"),
        ({"count": 1.5}, {}, r"values.count: 1.5 does not fit uint64"),
        ({"force": 10**39}, {}, r"values.force: 1000.* does not fit float32"),
        ({"force": 1e39}, {}, r"values.force: 1e\+39 does not fit float32"),
        ({"force": True}, {}, r"values.force: True does not fit float32"),
        ({"running": 2}, {}, r"values.running: 2 does not fit bool"),
        ({"zones": [1, 2]}, {}, r"values.zones: 2 elements; the tag has 3"),
        ({"zones": 1}, {}, r"values.zones: 1 elements; the tag has 3"),
        ({"batch": 1}, {}, r"values.batch: 1 is no text"),
        ({"recipe": [1 << 64]}, {}, r"values.recipe: a whole number has more than 64 bits"),
        ({"temp": None}, {"temp": "rotten"}, r"quality.temp: 'rotten' is none of good, uncertain"),
    ],
)
def test_a_value_that_a_tag_cannot_have_is_named(
    values: dict[str, JsonValue], quality: dict[str, str], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        samples.frames_of([frame(values, quality)], SCHEMAS)


def test_what_is_no_schema_is_named() -> None:
    with pytest.raises(ConfigError, match=r"schemas\[1\]: not a schema"):
        samples.frames_of([], [*SCHEMAS, {"connection": "x"}])
    with pytest.raises(ConfigError, match=r"frames of press1.fast: a schema has 1 to"):
        samples.frames_of([frame({})], [])


RAWS = st.lists(st.integers(-(1 << 15), (1 << 15) - 1), min_size=1, max_size=20)


@given(RAWS, st.sampled_from([1.0, 0.1, 0.01, 0.25, -0.5, 3.0]), st.sampled_from([0.0, -40.0, 0.3]))
def test_scaled_whole_numbers_come_back_exactly(raws: list[int], scale: float, offset: float) -> None:
    tag = TagSchema("t", ValueType.INT16, count=len(raws), scale=scale, offset=offset)
    schema = Schema.of("a", "b", None, [tag])
    original = Frame(1, 0, 0, pack(ValueType.INT16, Order.DCBA, raws), 1)
    values = {name: each.value for name, each in samples.shown(schema, original).items()}
    values = {"t": [values["t"]] if len(raws) == 1 else values["t"]}
    again = samples.frames_of(
        [DryFrame(connection="a", group="b", time=0, values=values)],
        [{"connection": "a", "group": "b", "tags": [tag.to_json()]}],
    )
    assert again[0][1].row == original.row


def test_neighbours_of_one_quality_are_one_run() -> None:
    bad = {tag.name: "bad_comm" for tag in SCHEMA.tags}
    ((_, made),) = samples.frames_of([frame({}, bad)], SCHEMAS)
    assert made.quality == (QualityRun(0, 7, Quality.BAD_COMM, True),)


# --- what had been through hooks -------------------------------------------------------------------------


def hooked(source: str, *, keep_raw: bool) -> tuple[Schema, Frame]:
    """A frame of the group as a hook leaves it, without one: its outputs are zeros."""
    script = Script(name="h", hook_type=HookPoint.TRANSFORM, source=source, keep_raw=keep_raw)
    values: dict[str, JsonValue] = {
        "temp": 21.7, "force": 1.5, "count": 3, "zones": [1, 2, 3], "batch": "A", "recipe": {"a": 1},
    }  # fmt: skip
    ((schema, made),) = samples.frames_of([frame(values, {"force": "uncertain"})], SCHEMAS)
    derived = derive(schema, declared([["temp", "float64"], ["batch", "string"], ["new", "uint8"]]), script)
    everything = {"p": derived.all_present, "x": ["***"]}
    return derived.schema, merge(derived, made, everything, bytes(derived.out_bytes)).frame


@pytest.mark.parametrize("known", [True, False])
def test_originals_that_a_hook_kept_are_the_samples_again(known: bool) -> None:
    originals = samples.Originals([SCHEMA] if known else [])
    schema, made = originals.of(hooked("x", keep_raw=True))
    shown = samples.shown(schema, made)
    assert schema.hooks == ()
    assert (schema == SCHEMA) == known
    assert {name: each.value for name, each in shown.items() if name != "new"} == {
        "temp": 21.7, "force": 1.5, "count": 3, "zones": [1, 2, 3], "batch": "A", "recipe": {"a": 1},
    }  # fmt: skip
    assert ("new" in shown) != known
    assert shown["force"].quality == "uncertain"


def test_what_a_hook_replaced_for_good_is_not_made_up() -> None:
    schema, made = samples.Originals([SCHEMA]).of(hooked("x", keep_raw=False))
    shown = samples.shown(schema, made)
    # The text has the type that it had, so that nobody can tell it from the original.
    assert sorted(shown) == ["batch", "count", "force", "recipe", "zones"]
    assert shown["count"].value == 3


def test_frames_without_hooks_stay_as_they_are() -> None:
    (sampled,) = samples.frames_of([frame({"count": 1})], SCHEMAS)
    assert samples.Originals([SCHEMA]).of(sampled) is sampled


def test_a_time_that_a_frame_cannot_have_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"frames\[0\].time: 10+ ms is behind the year 2262"):
        samples.frames_of([frame({"count": 1}).model_copy(update={"time": 10**15})], SCHEMAS)
