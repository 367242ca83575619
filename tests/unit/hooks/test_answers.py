"""Answers of a worker that is not what it was: each that cannot be is seen before it counts for anything."""

import asyncio
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import pytest

from edge_agent.hooks.derive import declared, derive
from edge_agent.hooks.errors import BadReply
from edge_agent.hooks.link import Link
from edge_agent.hooks.merge import Merged
from edge_agent.hooks.runner import Failure, Given, Ran, Runner, parts, read
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire.frame import Frame
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from edge_agent.wire.scripts import HookPoint, Script
from edge_agent.wire.values import pack

GROUP = Schema.of("press1", "fast", 1, [TagSchema("a", ValueType.UINT16), TagSchema("b", ValueType.STRING)])
SCRIPT = Script(name="h", hook_type=HookPoint.TRANSFORM, source="one\ntwo\nthree")
DERIVED = derive(GROUP, declared([["f", "float32"], ["ok", "bool"], ["s", "string"]]), SCRIPT)
FRAME = Frame(1, 2, 3, b"\x01\x02", 2, text=("x",))
GIVEN = [Given(GROUP, FRAME, DERIVED)]
ROW = pack(ValueType.FLOAT32, TagSchema("f", ValueType.FLOAT32).order, [1.5]) + b"\x01"
GOOD: dict[str, Any] = {"ok": True, "results": [{"n": 5, "p": "07", "x": ["text"]}]}
NAN = b"\x00\x00\xc0\x7f\x01"


def told(answer: dict[str, Any], row: bytes = ROW) -> Ran:
    return read(answer, memoryview(row), GIVEN, b"", SCRIPT)


def test_a_sound_answer_counts() -> None:
    (made,) = told(GOOD).results
    assert isinstance(made, Merged)
    assert (made.frame.row, made.frame.text, made.computed) == (
        ROW[:4] + FRAME.row + ROW[4:],
        ("x", "text"),
        3,
    )


Change = Callable[[dict[str, Any]], None]


def with_result(**fields: Any) -> Change:
    return lambda answer: answer["results"][0].update(fields)


def with_fields(**fields: Any) -> Change:
    return lambda answer: answer.update(fields)


LIES: dict[str, Change] = {
    "too few results": with_fields(results=[]),
    "too many results": with_fields(results=GOOD["results"] * 2),
    "results that are none": with_fields(results="x"),
    "a result that is none": with_fields(results=[None]),
    "a row that is not whole": with_result(n=4),
    "a row that is a truth value": with_result(n=True),
    "a row that is negative": with_result(n=-5),
    "no row": with_result(n=0),
    "a bitmap that is too long": with_result(p="0700"),
    "a bitmap of other outputs": with_result(p="0f"),
    "a bitmap that is none": with_result(p=7),
    "a bitmap that is no number": with_result(p="zz"),
    "drops of tags that there are not": with_result(d="04"),
    "drops that are none": with_result(d=[1]),
    "quality behind the end": with_result(q=[[0, 4, 1, 0]]),
    "quality out of order": with_result(q=[[1, 1, 1, 0], [0, 1, 1, 0]]),
    "quality that is not known": with_result(q=[[0, 1, 8, 0]]),
    "quality that is no number": with_result(q=[[0, 1.0, 1, 0]]),
    "quality of nothing": with_result(q=[[0, 0, 1, 0]]),
    "quality that is no list": with_result(q="x"),
    "null that is neither": with_result(q=[[0, 1, 1, 2]]),
    "texts that are too many": with_result(x=["a", "b"]),
    "texts that are no list": with_result(x="ab"),
    "a text that is a number": with_result(x=[1]),
    "a text that UTF-8 cannot hold": with_result(x=["\ud800"]),
    "a text of what is null": with_result(q=[[2, 1, 6, 1]]),
    "a state that is no dict": with_fields(state=[1]),
    "a state that is too large": with_fields(state={"x": "y" * 17_000}),
    "a state of huge numbers": with_fields(state={"x": 1 << 70}),
    "alerts that are no list": with_fields(alerts={"code": "x"}),
    "alerts that are too many": with_fields(alerts=[{"code": "x", "message": "", "data": {}, "i": 0}] * 21),
    "an alert of no call": with_fields(alerts=[{"code": "x", "message": "", "data": {}, "i": 1}]),
    "an alert without a code": with_fields(alerts=[{"code": "", "message": "", "data": {}, "i": 0}]),
    "an alert whose code is none": with_fields(alerts=[{"code": "x\n\x1b[2J", "data": {}, "i": 0}]),
    "an alert whose code is too long": with_fields(alerts=[{"code": "x" * 65, "data": {}, "i": 0}]),
    "an alert with too much": with_fields(alerts=[{"code": "x", "data": {"x": "y" * 9_000}, "i": 0}]),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.replace(" ", "-"))
def test_an_answer_that_cannot_be_counts_for_nothing(lie: str) -> None:
    answer = deepcopy(GOOD)
    LIES[lie](answer)
    with pytest.raises(BadReply):
        told(answer)


@pytest.mark.parametrize("row", [NAN, ROW[:4] + b"\x02", ROW + b"x", ROW[:4], b""])
def test_a_row_that_cannot_be_counts_for_nothing(row: bytes) -> None:
    with pytest.raises(BadReply):
        told(GOOD, row)


def test_what_a_script_says_of_its_error_is_cut_to_what_can_be() -> None:
    error = {"type": "E" * 500, "message": "\ud800" + "m" * 5_000, "line": 99, "traceback": 7}
    (failure,) = told({"ok": True, "results": [{"error": error}]}, b"").results
    assert isinstance(failure, Failure)
    assert (len(failure.kind), len(failure.message), failure.line, failure.traceback) == (
        100,
        2_000,
        None,
        "",
    )
    (failure,) = told({"ok": True, "results": [{"error": "x"}]}, b"").results
    assert isinstance(failure, Failure)
    assert failure.kind == "Error"


def test_what_a_worker_says_moves_no_cursor_where_it_is_shown() -> None:
    steering = "\x1b[2J\x00\r\x9b\u202egood\n\tÖl"
    shown = "\ufffd[2J" + 4 * "\ufffd" + "good\n\tÖl"
    error = {"type": steering, "message": steering, "traceback": steering}
    (failure,) = told({"ok": True, "results": [{"error": error}]}, b"").results
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.message, failure.traceback) == (shown, shown, shown)
    alert = {"code": "x", "message": steering, "data": {}, "i": 0}
    ran = told(GOOD | {"prints": steering, "alerts": [alert]})
    assert (ran.prints, ran.alerts[0].message) == (shown, shown)


def test_prints_are_the_last_of_what_was_printed() -> None:
    assert told(GOOD | {"prints": "a" * 5_000 + "b"}).prints == "a" * 4_095 + "b"
    assert told(GOOD | {"prints": ["a"]}).prints == ""


class Answers:
    """A worker that answers all frames in the same way. Implements hooks.link.Worker."""

    layers: Mapping[str, str] = {}
    fault = None

    def __init__(self, answer: dict[str, Any], rows: bytes) -> None:
        self._answer = answer
        self._rows = rows

    async def call(
        self, head: Any, blob: bytes = b"", *, deadline_seconds: float, most_answer_bytes: int
    ) -> tuple[Any, memoryview]:
        if head["op"] == "frames":
            return self._answer, memoryview(self._rows)
        return {"ok": True}, memoryview(b"")

    def kill(self) -> None:
        raise AssertionError("the answer is sound")

    async def close(self) -> None:
        """There is nothing to end."""


async def test_a_long_answer_is_judged_while_others_go_on() -> None:
    wide = derive(GROUP, declared([["w[1..2000]", "float64"]]), SCRIPT)
    marks = [[place, 1, 6, 1] for place in range(0, 2000, 2)]
    result = {"n": wide.out_bytes, "p": wide.all_present, "q": marks}
    answer = {"ok": True, "results": [result] * 10}
    runner = Runner(SCRIPT, Link(Answers(answer, bytes(10 * wide.out_bytes))), ManualClock())
    await runner.prepare(wide)
    turns = 0
    judged = asyncio.ensure_future(runner.frames([Given(GROUP, FRAME, wide)] * 10, b"", 1.0))
    while not judged.done():
        await asyncio.sleep(0)
        turns += 1
    assert len((await judged).results) == 10
    # What is judged in the loop takes as many turns as there are steps to it: three.
    assert turns > 10


def test_requests_are_parted_so_that_neither_they_nor_answers_grow_too_large() -> None:
    wide = derive(GROUP, declared([["w[1..1000]", "float64"]]), SCRIPT)
    many = [Given(GROUP, FRAME, wide)] * 400
    sizes = [len(part) for part in parts(many)]
    assert sum(sizes) == 400
    assert 1 < len(sizes) < 20
    assert max(sizes) * (wide.out_bytes + len(FRAME.row)) <= 256 << 10
    assert [len(part) for part in parts([Given(GROUP, FRAME, DERIVED)] * 1_000)] == [491, 491, 18]
    huge = derive(GROUP, declared([["w", "float64[65000]"], ["v[1..4]", "float64[65000]"]]), SCRIPT)
    assert [len(part) for part in parts([Given(GROUP, FRAME, huge)] * 3)] == [1, 1, 1]
    assert list(parts([])) == []
