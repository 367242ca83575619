"""What one worker process has been told, and asking it. Of its answers only the shape is judged here."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

from edge_agent.hooks.derive import Derived
from edge_agent.hooks.errors import BadReply, ScriptRefused, WorkerGone
from edge_agent.wire.schema import Schema
from edge_agent.wire.scripts import Script

# Of a script, and of a schema of 65,536 tags: what it takes is not held against a hook.
COMPILE_SECONDS: Final = 5.0
SCHEMA_SECONDS: Final = 5.0
NO_SCHEMA: Final = -1
_MOST_CHARACTERS: Final = 2_000
# What moves a terminal's cursor, or turns the direction in which it writes.
_STEERING: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class Worker(Protocol):
    """What is needed of a worker process. `process.WorkerProcess` is one."""

    @property
    def layers(self) -> Mapping[str, str]: ...

    @property
    def fault(self) -> WorkerGone | None: ...

    async def call(
        self, head: Any, blob: bytes = b"", *, deadline_seconds: float, most_answer_bytes: int
    ) -> tuple[Any, memoryview]: ...

    def kill(self) -> None: ...

    async def close(self) -> None: ...


class Said(Exception):
    """The worker answered that it could not, and goes on."""

    def __init__(self, kind: str, message: str, line: int | None, traceback: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.line = line
        self.traceback = traceback

    @classmethod
    def read(cls, error: object, script: Script | None = None) -> "Said":
        """What an answer says of an error; not to be trusted, not even to be one."""
        said = error if isinstance(error, dict) else {}
        line = said.get("line")
        lines = script.source.count("\n") + 1 if script is not None else 1 << 20
        known = type(line) is int and 0 < line <= lines
        kind = plain(said.get("type"), 100) or "Error"
        message = plain(said.get("message"), _MOST_CHARACTERS) or kind
        return cls(
            kind, message, line if known else None, plain(said.get("traceback"), 10 * _MOST_CHARACTERS)
        )


def plain(text: object, most: int) -> str:
    """A text of a worker's as it can be sent on and shown; empty where it is none."""
    if not isinstance(text, str):
        return ""
    return _STEERING.sub("\ufffd", text[:most]).encode("utf-8", "replace").decode()


class Link:
    """Hooks that share the process ask in turn: `lock` is held by who asks.

    Schemas are numbered as they come; a number is never given twice.
    """

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.lock = asyncio.Lock()
        self._numbers: dict[str, int] = {}
        # By the tags, the first that had them: the worker keeps those once.
        self._first: dict[str, int] = {}
        self._planned: set[tuple[str, str]] = set()
        self._first_planned: dict[tuple[str, str], int] = {}

    @property
    def is_alive(self) -> bool:
        return self.worker.fault is None

    async def ask(
        self, head: Mapping[str, Any], blob: bytes = b"", *, seconds: float, most_bytes: int = 0
    ) -> tuple[dict[str, Any], memoryview]:
        """Raises Said, and WorkerGone where the process is gone. The caller holds the lock."""
        answer, data = await self.worker.call(
            head, blob, deadline_seconds=seconds, most_answer_bytes=most_bytes
        )
        if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
            raise self.bad("an answer that is none")
        if not answer["ok"]:
            raise Said.read(answer.get("error"))
        return answer, data

    def bad(self, why: str) -> BadReply:
        """Ends the process: nobody knows what it is any more. For `raise`."""
        self.worker.kill()
        return BadReply(why)

    async def load(self, script: Script) -> tuple[Any, list[str]]:
        """Compiles a script. Its OUTPUTS, not yet judged, and INPUTS. Raises ScriptRefused and WorkerGone."""
        head = {"op": "load", "hook": script.name, "point": str(script.hook_type), "source": script.source}
        async with self.lock:
            self._forget(script.name)
            try:
                answer, _ = await self.ask(head, seconds=COMPILE_SECONDS)
            except Said as said:
                lines = script.source.count("\n") + 1
                line = said.line if said.line is not None and said.line <= lines else None
                raise ScriptRefused(said.message, line) from None
        inputs = answer.get("inputs")
        if not isinstance(inputs, list) or not all(isinstance(each, str) for each in inputs):
            raise self.bad("INPUTS that are no names")
        return answer.get("outputs"), inputs

    def _forget(self, hook: str) -> None:
        self._planned = {each for each in self._planned if each[0] != hook}
        planned = self._first_planned.items()
        self._first_planned = {key: number for key, number in planned if key[0] != hook}

    def knows(self, hook: str, schema: Schema | None) -> bool:
        return (hook, "" if schema is None else schema.hash) in self._planned

    def has(self, schema: Schema) -> bool:
        return schema.hash in self._numbers

    def number(self, schema: Schema) -> int:
        return self._numbers[schema.hash]

    async def teach(self, schema: Schema) -> int:
        """Its number at the worker. The caller holds the lock."""
        number = self._numbers.get(schema.hash)
        if number is None:
            number = len(self._numbers)
            like = self._first.get(schema.tags_hash)
            if like is None:
                head: dict[str, Any] = {"op": "schema", "schema": number}
                await self.ask(head, schema.canonical, seconds=SCHEMA_SECONDS)
                self._first[schema.tags_hash] = number
            else:
                of = [schema.connection, schema.group, schema.unit_id]
                await self.ask(
                    {"op": "schema", "schema": number, "like": like, "of": of}, seconds=SCHEMA_SECONDS
                )
            self._numbers[schema.hash] = number
        return number

    async def plan(self, hook: str, derived: Derived, *, with_frames: bool) -> None:
        """Tells it which outputs a hook has on frames of a schema; without frames, on any call."""
        schema = derived.source if with_frames else None
        if self.knows(hook, schema):
            return
        key = hook, "" if schema is None else schema.tags_hash
        async with self.lock:
            number = NO_SCHEMA if schema is None else await self.teach(schema)
            head: dict[str, Any] = {"op": "plan", "hook": hook, "schema": number}
            like = self._first_planned.get(key)
            told = {"outputs": derived.outputs()} if like is None else {"like": like}
            await self.ask(head | told, seconds=SCHEMA_SECONDS)
            self._first_planned.setdefault(key, number)
        self._planned.add((hook, "" if schema is None else schema.hash))
