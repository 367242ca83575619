"""Answers of a worker that belongs to an attacker: whatever they say, either they are refused, or what they
make is a frame that travels, with samples that add up, and with all other tags as they were."""

import contextlib
import copy
import re
from typing import Any

import orjson
import pytest
from hypothesis import given as with_given
from hypothesis import settings
from hypothesis import strategies as st

from edge_agent.hooks.errors import BadReply, ScriptRefused
from edge_agent.hooks.merge import Merged
from edge_agent.hooks.protocol import MAX_STATE_BYTES
from edge_agent.hooks.runner import Failure, Given, Outputs, Ran, read
from edge_agent.hooks.worker.patterns import matcher
from edge_agent.wire.batch import Batch, FramesPart, Origin, encode
from edge_agent.wire.frame import Frame, selection
from edge_agent.wire.quality import Quality, QualityRun
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from edge_agent.wire.scripts import HookPoint, Script

ORIGIN = Origin("press-shop-01", "5f" * 16, "00" * 16)
SCHEMA = Schema.of(
    "press1", "fast", 1,
    [TagSchema("a", ValueType.FLOAT64), TagSchema("b", ValueType.UINT16), TagSchema("s", ValueType.STRING)],
)  # fmt: skip
SCRIPT = Script(name="forged", hook_type=HookPoint.TRANSFORM, source="pass\n" * 5)
DECLARED = [
    ["a", "float32"],
    ["flag", "bool"],
    ["three", "int16[3]"],
    ["label", "string"],
    ["some", "string[2]"],
]
DERIVED = Outputs(SCRIPT, DECLARED, []).derive(SCHEMA)
# In the order of the outputs' row: a, three, flag; then label and some.
ROW = b"\0\0\x80?" + b"\1\0\2\0\3\0" + b"\1"
STATE = b'{"n":1}'
PASSED = ("b", "s")


def frame(n: int, **more: Any) -> Frame:
    row = b"\0\0\0\0\0\0\xf0?" + b"\7\0"
    return Frame(n, n * 10**9, 1_767_225_600_000 + n, row, 3, text=("as it was",), **more)


GIVEN = [
    Given(SCHEMA, frame(1), DERIVED),
    Given(SCHEMA, frame(2, quality=(QualityRun(1, 1, Quality.STALE, False),)), DERIVED),
    Given(SCHEMA, Frame(3, 3 * 10**9, 1_767_225_600_003, frame(3).row, 3, 1, b"\6", ("as it was",)), DERIVED),
]


def result(**more: Any) -> dict[str, Any]:
    return {"n": len(ROW), "p": "1f", "x": ["label", ["one", "two"]], **more}


def honest() -> dict[str, Any]:
    return {"ok": True, "results": [result(), result(q=[[0, 1, 1, 0]]), result(d="02")], "state": {"n": 2},
            "prints": "said", "alerts": [{"code": "hot", "message": "m", "data": {}, "i": 1}]}  # fmt: skip


def judged(answer: dict[str, Any], blob: bytes = ROW * 3) -> Ran:
    """What is made of it, once it is known to travel. Raises BadReply."""
    # As it comes: what is no JSON does not get as far.
    ran = read(orjson.loads(orjson.dumps(answer)), memoryview(blob), GIVEN, STATE, SCRIPT)
    assert len(ran.results) == len(GIVEN)
    assert len(ran.state) <= MAX_STATE_BYTES
    for each, made in zip(GIVEN, ran.results, strict=True):
        if isinstance(made, Merged):
            holds(each.frame, made)
        else:
            assert isinstance(made, Failure)
            assert made.line is None or 0 < made.line <= 6
    orjson.dumps([[alert.code, alert.message, alert.data] for alert in ran.alerts])
    ran.prints.encode()
    return ran


def holds(before: Frame, made: Merged) -> None:
    schema, after = DERIVED.schema, made.frame
    sealed = encode(ORIGIN, [FramesPart(schema, [after])], 0)
    (travelled,) = Batch.open(sealed.body, sealed.codec, sealed.raw_bytes).frames(0, schema)
    present = selection(after.present, schema.tag_count)
    assert (travelled.n, travelled.wall_ms) == (before.n, before.wall_ms)
    assert travelled.samples == after.samples == sum(present)
    had = selection(before.present, SCHEMA.tag_count)
    names, old = [tag.name for tag in schema.tags], [tag.name for tag in SCHEMA.tags]
    for name in PASSED:
        place = names.index(name)
        assert not present[place] or had[old.index(name)]
        if present[place] and name == "b":
            assert travelled.row[schema.edges[place] : schema.edges[place + 1]] == b"\7\0"
        if present[place] and name == "s":
            assert travelled.text is not None
            assert travelled.text[place - schema.fixed_tags] == "as it was"


def test_an_honest_answer_is_taken() -> None:
    ran = judged(honest())
    assert all(isinstance(each, Merged) for each in ran.results)
    assert (ran.state, ran.prints, len(ran.alerts)) == (b'{"n":2}', "said", 1)


DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]
FORGED_RESULTS: dict[str, Any] = {
    "no object": 5, "none": None, "a list": [], "no row": result(n=0), "a longer row": result(n=len(ROW) + 1),
    "a negative row": result(n=-1), "a row that is true": result(n=True), "no number": result(n="11"),
    "no bitmap": {"n": len(ROW)}, "a bitmap of others": result(p="ff"), "a long bitmap": result(p="1f00"),
    "half a bitmap": result(p="1"), "a bitmap of words": result(p="zz"), "a number for it": result(p=31),
    "drops of others": result(d="ff"), "drops that are none": result(d=[]),
    "long drops": result(d="0" * 10**5),
    "quality of others": result(q=[[5, 1, 1, 0]]), "a negative run": result(q=[[-1, 1, 1, 0]]),
    "an empty run": result(q=[[0, 0, 1, 0]]), "a long run": result(q=[[0, 10**9, 1, 0]]),
    "runs that cross": result(q=[[0, 3, 1, 0], [1, 1, 2, 0]]),
    "runs backwards": result(q=[[2, 1, 1, 0], [0, 1, 1, 0]]),
    "no such quality": result(q=[[0, 1, 99, 0]]), "a negative quality": result(q=[[0, 1, -1, 0]]),
    "half a null": result(q=[[0, 1, 1, 2]]), "a text for a run": result(q=["xxxx"]), "no runs": result(q={}),
    "a fraction": result(q=[[0.5, 1, 1, 0]]), "huge numbers": result(q=[[2**63, 2**63, 1, 0]]),
    "texts too many": result(x=["a", ["b", "c"], "d"]), "texts too few": result(x=["a"]),
    "no texts": result(x="ab"), "a number for a text": result(x=[5, ["b", "c"]]),
    "a deep text": result(x=[DEEP, ["b", "c"]]), "a text for an array": result(x=["a", "bc"]),
    "an array too long": result(x=["a", ["b", "c", "d"]]), "an object for a text": result(x=[{}, ["b", "c"]]),
    "a null with a text": result(q=[[3, 1, 6, 1]]),
}  # fmt: skip
FORGED_FIELDS: dict[str, Any] = {
    "no results": {"results": None}, "too few": {"results": [result()]},
    "too many": {"results": [result()] * 4},
    "results that are an object": {"results": {"0": result()}},
    "a state that is a list": {"state": []}, "a state that is null": {"state": None},
    "a large state": {"state": {"x": "x" * MAX_STATE_BYTES}}, "a deep state": {"state": {"x": DEEP}},
    "alerts that are none": {"alerts": {}}, "many alerts": {"alerts": honest()["alerts"] * 21},
    "an alert of a later frame": {"alerts": [{"code": "c", "message": "", "data": {}, "i": 3}]},
    "an alert of an earlier one": {"alerts": [{"code": "c", "message": "", "data": {}, "i": -1}]},
    "an alert of true": {"alerts": [{"code": "c", "message": "", "data": {}, "i": True}]},
    "an alert without a code": {"alerts": [{"code": "", "message": "", "data": {}, "i": 0}]},
    "an alert whose code is none": {"alerts": [{"code": {}, "message": "", "data": {}, "i": 0}]},
    "an alert of much": {"alerts": [{"code": "c", "message": "", "data": {"x": "x" * 10**5}, "i": 0}]},
    "an alert of depth": {"alerts": [{"code": "c", "message": "", "data": {"x": DEEP}, "i": 0}]},
    "an alert that is none": {"alerts": [None]},
}  # fmt: skip
FORGED_ROWS = {
    "not a number": b"\0\0\xc0\x7f" + ROW[4:], "infinite": b"\0\0\x80\x7f" + ROW[4:],
    "a truth value of 7": ROW[:-1] + b"\7",
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED_RESULTS)
def test_a_result_that_cannot_be_one_is_refused(name: str) -> None:
    answer = honest()
    answer["results"][0] = FORGED_RESULTS[name]
    with pytest.raises(BadReply):
        judged(answer, ROW * (2 if name == "no row" else 3))


@pytest.mark.parametrize("name", FORGED_FIELDS)
def test_an_answer_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(BadReply):
        judged(honest() | FORGED_FIELDS[name])


@pytest.mark.parametrize("blob", [b"", ROW, ROW * 2, ROW * 3 + b"\0", ROW * 4], ids=len)
def test_rows_that_are_not_as_many_as_results_are_refused(blob: bytes) -> None:
    with pytest.raises(BadReply):
        judged(honest(), blob)


@pytest.mark.parametrize("name", FORGED_ROWS)
def test_values_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(BadReply):
        judged(honest(), FORGED_ROWS[name] + ROW * 2)


@pytest.mark.parametrize(
    "error",
    [None, 5, [], {}, {"type": {}, "message": [], "line": "1", "traceback": 7}, {"line": -1}, {"line": 2**63},
     {"line": True}, {"type": "x" * 10**6, "message": "x" * 10**6, "traceback": "x" * 10**6}],
)  # fmt: skip
def test_an_error_may_say_what_it_wants_and_is_bounded(error: Any) -> None:
    answer = honest()
    answer["results"][0] = {"error": error}
    (failure, *_) = judged(answer, ROW * 2).results
    assert isinstance(failure, Failure)
    assert len(failure.kind) + len(failure.message) + len(failure.traceback) < 30_000


@pytest.mark.parametrize("prints", [None, 5, [], {}, "x" * 10**6])
def test_prints_are_a_bounded_text_or_nothing(prints: Any) -> None:
    assert len(judged(honest() | {"prints": prints}).prints) <= 4_096


FLOODS: dict[str, list[Any]] = {
    "ranges": [[f"a{number}[0..19999]", "bool"] for number in range(5_000)],
    "patterns": [[f"*?*{number}", "bool"] for number in range(5_000)],
    "a range without end": [["a[0..999999999]", "bool"]],
}


@pytest.mark.parametrize("name", FLOODS)
def test_what_a_script_declares_is_bounded_before_it_is_written_out(name: str) -> None:
    """In the agent's own memory: a hundred million names do not fit into it, and are not waited for."""
    with pytest.raises(ScriptRefused, match="more than"):
        Outputs(SCRIPT, FLOODS[name], [])
    with pytest.raises(ScriptRefused, match="more than"):
        Outputs(SCRIPT, DECLARED, [f"press1.{pattern}" for pattern, _ in FLOODS[name]])


def test_no_pattern_of_a_script_takes_the_agent_long() -> None:
    """Looked for by what goes back and forth, one of these takes longer than a plant lives."""
    name = "a" * 200
    for pattern in ("*?" * 100 + "*X", "*a" * 100 + "X", "*a*?" * 50 + "X*"):
        assert not matcher(pattern)(name)


@with_given(st.text("ab.[", max_size=6), st.text("ab?*[", max_size=6))
def test_a_pattern_stands_for_what_a_plain_reader_finds(name: str, pattern: str) -> None:
    parts = {"*": ".*", "?": "."}
    plain = re.fullmatch("".join(parts.get(each) or re.escape(each) for each in pattern), name)
    assert matcher(pattern)(name) == (plain is not None)


ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.text(max_size=10),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["00", "1f", "02", "07", [], {}, [[0, 5, 6, 1]], [[3, 2, 1, 0]]]),
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


@st.composite
def forged(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """An honest answer with up to four places changed, and rows of any bytes."""
    answer = honest()
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from([place for place in places(answer) if place]))
        holder: Any = answer
        for key in path[:-1]:
            holder = holder[key]
        if draw(st.booleans()):
            holder[path[-1]] = copy.deepcopy(draw(ATOMS))
        else:
            del holder[path[-1]]
    return answer, draw(st.one_of(st.just(ROW * 3), st.just(ROW * 2), st.binary(max_size=40)))


@settings(max_examples=400, deadline=None)
@with_given(forged())
def test_whatever_is_answered_is_refused_or_makes_frames_that_travel(
    forgery: tuple[dict[str, Any], bytes],
) -> None:
    with contextlib.suppress(BadReply):
        judged(*forgery)
