"""Runs one script on frames or calls in a worker, and makes of the answers what goes on.

The stage and `edge-agent hook test` both run scripts with this, so that a dry run is the real one. It decides
neither what a script is run on nor what becomes of frames that it failed on.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

import orjson

from edge_agent.contracts.clock import Clock
from edge_agent.hooks.derive import Declared, Derived, computed, declared, derive, derive_like, named
from edge_agent.hooks.errors import BadReply, OutOfTime, ScriptRefused, TimedOut
from edge_agent.hooks.link import Link, Said, plain
from edge_agent.hooks.merge import Merged, merge
from edge_agent.hooks.protocol import ALERT_CODE, MAX_ALERTS, MAX_PRINT_CHARACTERS, MAX_STATE_BYTES
from edge_agent.wire.errors import WireError
from edge_agent.wire.frame import Frame, check_json
from edge_agent.wire.schema import Schema
from edge_agent.wire.scripts import Script

# Of one request and its answer; a single frame may have more. Small enough that what one call costs (a first
# one also prepares what it reads) is far below its time, and that a kill marks few frames.
_PART_BYTES: Final = 256 << 10
_PART_HEAD_BYTES: Final = 384 << 10
_PART_FRAMES: Final = 1_000
# Of an answer without its rows, from which on it is judged beside the loop: a shorter one takes no time.
_LONG_BYTES: Final = 8 << 10
_MOST_ALERT_BYTES: Final = 8_192
# Of what a call may take: with less time than that left in a flush, none begins.
_LEAST_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Given:
    """A frame for a hook. derived: what is made of it; None: it is only to be known (`run: 0`)."""

    schema: Schema
    frame: Frame
    derived: Derived | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a frame or call has no result. kind: of the exception, or of what befell the worker.

    blameless: it was not run, and that is not the hook's fault.
    """

    kind: str
    message: str
    line: int | None = None
    traceback: str = ""
    blameless: bool = False


@dataclass(frozen=True, slots=True)
class Alert:
    """index: of the frame or call that it was raised in."""

    code: str
    message: str
    data: dict[str, Any]
    index: int


@dataclass(slots=True)
class Ran:
    """results: one for each frame or call; None for frames that were only to be known. state: the hook's
    state now, as JSON; empty: none. seconds: there and back."""

    results: list[Merged | Failure | None]
    state: bytes
    prints: str = ""
    alerts: list[Alert] = field(default_factory=list)
    seconds: float = 0.0


class Outputs:
    """What a script declares, and what that makes of each schema; it outlives the worker."""

    def __init__(self, script: Script, outputs: Any, inputs: Sequence[str]) -> None:
        """Raises ScriptRefused, and BadReply for what is no declaration."""
        self.script = script
        self.inputs = list(named(inputs))
        self.declared: tuple[Declared, ...] = declared(outputs)
        self.computed = None if script.hook_type.has_frames else computed(self.declared, script)
        self._mark = script.mark
        self._derived: dict[str, Derived | ScriptRefused] = {}
        # By the tags: groups of like machines have the same.
        self._alike: dict[str, Derived] = {}

    def known(self, schema: Schema) -> Derived | None:
        found = self._derived.get(schema.hash)
        return found if isinstance(found, Derived) else None

    def is_quick(self, schema: Schema) -> bool:
        """Whether `derive` needs not look at each tag."""
        return schema.hash in self._derived or schema.tags_hash in self._alike

    def derive(self, schema: Schema) -> Derived:
        """Takes some milliseconds for a thousand tags. Raises ScriptRefused, each time."""
        found = self._derived.get(schema.hash)
        if found is None:
            try:
                found = self._made(schema)
            except ScriptRefused as refused:
                found = refused
            self._derived[schema.hash] = found
        if isinstance(found, ScriptRefused):
            raise ScriptRefused(str(found), found.line)
        return found

    def _made(self, schema: Schema) -> Derived:
        like = self._alike.get(schema.tags_hash)
        if like is not None:
            return derive_like(like, schema, self._mark)
        made = self._alike[schema.tags_hash] = derive(schema, self.declared, self.script)
        return made

    @property
    def all_derived(self) -> list[Derived]:
        return [found for found in self._derived.values() if isinstance(found, Derived)]

    def refusal(self, schema: Schema) -> ScriptRefused | None:
        """Why nothing can be made of frames of a schema."""
        found = self._derived.get(schema.hash)
        return found if isinstance(found, ScriptRefused) else None

    def forget(self, schemas: Collection[str]) -> None:
        """Keeps what these schemas, by their hashes, need."""
        self._derived = {name: found for name, found in self._derived.items() if name in schemas}
        self._alike = {derived.source.tags_hash: derived for derived in self.all_derived}


@dataclass(frozen=True, slots=True)
class _Limit:
    """Of a call. most_bytes: of the rows of its answer."""

    seconds: float
    until: float
    most_bytes: int


class Runner:
    """One script in one worker. `load` first; one `frames` or `calls` at a time."""

    def __init__(self, script: Script, link: Link, clock: Clock) -> None:
        self.script = script
        self.link = link
        self.outputs: Outputs | None = None
        self._clock = clock
        # What the worker has as the hook's state.
        self._there: bytes | None = b""

    async def load(self, outputs: Outputs | None = None) -> Outputs:
        """Compiles the script. outputs: of an earlier worker, kept where they are the same.

        Raises ScriptRefused and WorkerGone.
        """
        said, inputs = await self.link.load(self.script)
        try:
            # Beside the loop: the 20,000 tags that a line may declare take a quarter of a second.
            made = await asyncio.to_thread(Outputs, self.script, said, inputs)
        except BadReply as bad:
            raise self.link.bad(str(bad)) from bad
        if outputs is not None and (outputs.declared, outputs.inputs) == (made.declared, made.inputs):
            made = outputs
        if made.computed is not None:
            await self._plan(made.computed, with_frames=False)
        self.outputs, self._there = made, b""
        return made

    async def prepare(self, derived: Derived) -> None:
        """So that frames of the schema can be run. Raises WorkerGone."""
        if self.script.hook_type.has_frames:
            await self._plan(derived, with_frames=True)

    async def learn(self, schema: Schema) -> None:
        """So that frames of the schema can be known."""
        async with self.link.lock:
            try:
                await self.link.teach(schema)
            except Said as said:
                raise self.link.bad(f"a schema is not understood: {said}") from said

    async def _plan(self, derived: Derived, *, with_frames: bool) -> None:
        try:
            await self.link.plan(self.script.name, derived, with_frames=with_frames)
        except Said as said:
            raise self.link.bad(f"a schema is not understood: {said}") from said

    async def frames(self, given: Sequence[Given], state: bytes, seconds: float, until: float = inf) -> Ran:
        """Runs the script on frames, whose schemas are prepared.

        seconds: that the call may take. until: when there is no more time for it, on the clock. Raises
        WorkerGone, and OutOfTime where `until` came first or a worker took over that is still being told.
        """
        if not all(
            self._is_told(schema) for schema in {id(each.schema): each.schema for each in given}.values()
        ):
            raise OutOfTime("its worker is new, and not told of this group yet")
        heads = [self._head(each) for each in given]
        blob = b"".join([each.frame.row for each in given])
        most = sum(each.derived.out_bytes for each in given if each.derived is not None)
        head = {"op": "frames", "hook": self.script.name, "frames": heads}
        return await self._run(head, blob, list(given), state, _Limit(seconds, until, most))

    async def calls(
        self,
        calls: Sequence[dict[str, Any]],
        frames: Sequence[Frame],
        state: bytes,
        seconds: float,
        until: float = inf,
    ) -> Ran:
        """Runs it on calls; frames: what each result is laid into (times). Raises as `frames` does."""
        made = None if self.outputs is None else self.outputs.computed
        assert made is not None, "not loaded, or not of a point without frames"
        given = [Given(made.source, frame, made) for frame in frames]
        head = {"op": "calls", "hook": self.script.name, "calls": list(calls)}
        limit = _Limit(seconds, until, made.out_bytes * len(calls))
        return await self._run(head, b"", given, state, limit)

    def _is_told(self, schema: Schema) -> bool:
        if self.script.hook_type.has_frames:
            return self.link.knows(self.script.name, schema)
        return self.link.has(schema)

    def _head(self, given: Given) -> dict[str, Any]:
        frame = given.frame
        head: dict[str, Any] = {
            "s": self.link.number(given.schema), "t": frame.wall_ms, "m": frame.mono_ns,
            "n": len(frame.row), "k": frame.n,
        }  # fmt: skip
        if frame.present is not None:
            head["p"] = frame.present.hex()
        if frame.quality:
            head["q"] = [[run.first, run.count, int(run.quality), int(run.null)] for run in frame.quality]
        if frame.text is not None:
            head["x"] = frame.text
        if given.derived is None:
            head["run"] = 0
        return head

    async def _run(
        self, head: dict[str, Any], blob: bytes, given: list[Given], state: bytes, limit: "_Limit"
    ) -> Ran:
        async with self.link.lock:
            began = self._clock.monotonic()
            seconds = min(limit.seconds, limit.until - began)
            if seconds < _LEAST_SHARE * limit.seconds:
                # To be cut off costs the worker: better not to begin.
                raise OutOfTime("others have used up the time of this flush")
            if not self.link.is_alive:
                raise OutOfTime("its worker ended while it waited for its turn")
            if state != self._there:
                head["state"] = orjson.loads(state or b"{}")
            self._there = None
            try:
                answer, data = await self.link.ask(head, blob, seconds=seconds, most_bytes=limit.most_bytes)
            except TimedOut:
                if seconds < limit.seconds:
                    raise OutOfTime("the time of this flush was over before its own") from None
                raise
            except Said as said:
                failure = Failure(said.kind, said.message, said.line, said.traceback)
                failed = [None if each.derived is None else failure for each in given]
                return Ran(list(failed), state, seconds=self._clock.monotonic() - began)
            took = self._clock.monotonic() - began
            try:
                if _is_long(answer):
                    ran = await asyncio.to_thread(read, answer, data, given, state, self.script)
                else:
                    ran = read(answer, data, given, state, self.script)
            except BadReply as bad:
                raise self.link.bad(str(bad)) from bad
            self._there = ran.state
        ran.seconds = took
        return ran


# --- answers, which are not believed ---------------------------------------------------------------------


def _is_long(answer: dict[str, Any]) -> bool:
    """Whether to judge it would keep the agent from polling: thousands of marks, or of values in texts."""
    try:
        return len(orjson.dumps(answer)) > _LONG_BYTES
    except orjson.JSONEncodeError:
        return True  # nested as nothing is that may be in it


def read(
    answer: dict[str, Any], data: memoryview, given: Sequence[Given], state: bytes, script: Script
) -> Ran:
    """What an answer says. Raises BadReply."""
    results = answer.get("results")
    if not isinstance(results, list) or len(results) != len(given):
        raise BadReply(f"results that are not {len(given)}")
    at = 0
    made: list[Merged | Failure | None] = []
    for each, result in zip(given, results, strict=True):
        if each.derived is None:
            if result is not None:
                raise BadReply("a result of a frame that was not run")
            made.append(None)
            continue
        if not isinstance(result, dict):
            raise BadReply("a result that is none")
        if "error" in result:
            said = Said.read(result["error"], script)
            made.append(Failure(said.kind, said.message, said.line, said.traceback))
            continue
        size = result.get("n")
        if type(size) is not int or size not in (0, each.derived.out_bytes) or at + size > len(data):
            raise BadReply("an outputs' row that is not as long as it must be")
        made.append(merge(each.derived, each.frame, result, data[at : at + size]))
        at += size
    if at != len(data):
        raise BadReply("bytes behind the last outputs' row")
    prints = plain(answer.get("prints"), 2 * MAX_PRINT_CHARACTERS)[-MAX_PRINT_CHARACTERS:]
    return Ran(made, _state(answer, state), prints, _alerts(answer.get("alerts"), len(given)))


def _state(answer: dict[str, Any], before: bytes) -> bytes:
    if "state" not in answer:
        return before
    value = answer["state"]
    if not isinstance(value, dict):
        raise BadReply("a state that is no dict")
    try:
        check_json(value)
        text = orjson.dumps(value) if value else b""
    except (WireError, orjson.JSONEncodeError) as error:
        raise BadReply(f"a state that cannot be kept: {error}") from error
    if len(text) > MAX_STATE_BYTES:
        raise BadReply(f"a state of {len(text)} bytes")
    return text


def _alerts(alerts: object, calls: int) -> list[Alert]:
    if alerts is None:
        return []
    if not isinstance(alerts, list) or len(alerts) > MAX_ALERTS:
        raise BadReply("alerts that are no list, or too many")
    return [_alert(each, calls) for each in alerts]


def _alert(alert: object, calls: int) -> Alert:
    if not isinstance(alert, dict):
        raise BadReply("an alert that is none")
    data, index, code = alert.get("data"), alert.get("i"), alert.get("code")
    if not isinstance(data, dict) or type(index) is not int or not 0 <= index < calls:
        raise BadReply("an alert that is none")
    if not isinstance(code, str) or ALERT_CODE.fullmatch(code) is None:
        raise BadReply("an alert without a code")
    try:
        check_json(data)
        if len(orjson.dumps(data)) > _MOST_ALERT_BYTES:
            raise BadReply("an alert with too much data")
    except (WireError, orjson.JSONEncodeError) as error:
        raise BadReply(f"an alert that cannot travel: {error}") from error
    return Alert(code, plain(alert.get("message"), 1_000), data, index)


def parts(given: Sequence[Given]) -> Iterator[Sequence[Given]]:
    """What fits into a request and its answer, one after the other; a single frame always does."""
    start = rows = heads = 0
    for index, each in enumerate(given):
        frame, derived = each.frame, each.derived
        row = len(frame.row) + (0 if derived is None else derived.out_bytes)
        head = 200 + 40 * len(frame.quality) + (len(frame.present or b"") << 1) + 300 * len(frame.text or ())
        if derived is not None:
            head += derived.count // 4 + 300 * len(derived.text_types)
        full = rows + row > _PART_BYTES or heads + head > _PART_HEAD_BYTES or index - start >= _PART_FRAMES
        if full and index > start:
            yield given[start:index]
            start, rows, heads = index, 0, 0
        rows, heads = rows + row, heads + head
    if start < len(given):
        yield given[start:]


def frame_of(wall_ms: int, mono_ns: int) -> Frame:
    """What the result of a call is laid into."""
    return Frame(0, mono_ns, wall_ms, b"", 0)
