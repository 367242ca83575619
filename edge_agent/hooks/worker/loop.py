"""Requests of the agent, one after the other, and their answers (`hooks.protocol`)."""

import os
from collections.abc import Callable
from typing import Any, Final

from edge_agent.hooks.protocol import (
    HEAD,
    MAX_ANSWER_HEAD_BYTES,
    MAX_REQUEST_BYTES,
    decode,
    encode,
    is_laborious,
)
from edge_agent.hooks.worker import faults
from edge_agent.hooks.worker.compiling import Refused
from edge_agent.hooks.worker.layout import Layout
from edge_agent.hooks.worker.program import NO_SCHEMA, Program, Ran
from edge_agent.wire.schema import Schema

_CHUNK_BYTES: Final = 1 << 16
Answer = tuple[dict[str, Any], bytes]


class Worker:
    """What one process has loaded. `answer` takes a request and gives its answer; no I/O."""

    def __init__(self) -> None:
        self._programs: dict[str, Program] = {}
        self._layouts: dict[int, Layout] = {}
        self._operations: dict[str, Callable[[dict[str, Any], memoryview], Answer]] = {
            "load": self._load,
            "schema": self._schema,
            "plan": self._plan,
            "frames": self._frames,
            "calls": self._calls,
        }

    def answer(self, head: dict[str, Any], blob: memoryview) -> Answer:
        fields, made = self._operations[head["op"]](head, blob)
        return {"ok": "error" not in fields, **fields}, made

    def _load(self, head: dict[str, Any], _: memoryview) -> Answer:
        hook, source = head["hook"], head["source"]
        self._programs.pop(hook, None)
        try:
            program = Program(hook, head["point"], source)
        except Refused as error:
            return {"error": faults.refused(error)}, b""
        except BaseException as error:  # noqa: BLE001 the boundary of hooks: the script's own lines were run
            return {"error": faults.raised(error, hook, source.splitlines())}, b""
        self._programs[hook] = program
        return {
            "outputs": list(program.outputs.items()),
            "inputs": program.inputs,
            **program.console.take(),
        }, b""

    def _schema(self, head: dict[str, Any], blob: memoryview) -> Answer:
        if "like" in head:
            layout = self._layouts[head["like"]].of(*head["of"])
        else:
            layout = Layout(Schema.restored(bytes(blob)))
        self._layouts[head["schema"]] = layout
        return {}, b""

    def _plan(self, head: dict[str, Any], _: memoryview) -> Answer:
        number, program = head["schema"], self._programs[head["hook"]]
        if "like" in head:
            program.plan_like(number, self._layouts[number], head["like"])
            return {}, b""
        layout = None if number == NO_SCHEMA else self._layouts[number]
        program.plan(number, layout, head["outputs"])
        return {}, b""

    def _frames(self, head: dict[str, Any], blob: memoryview) -> Answer:
        program = self._programs[head["hook"]]
        return self._run(program, head, lambda: program.frames(head["frames"], blob, self._layouts))

    def _calls(self, head: dict[str, Any], _: memoryview) -> Answer:
        program = self._programs[head["hook"]]
        return self._run(program, head, lambda: program.calls(head["calls"]))

    def _run(self, program: Program, head: dict[str, Any], run: Callable[[], Ran]) -> Answer:
        if "state" in head:
            program.state.load(head["state"])
        before = program.state.kept
        results, rows = run()
        fields: dict[str, Any] = {"results": results, **program.console.take()}
        if program.state.kept != before:
            fields["state"] = program.state.value
        return fields, b"".join(rows)


def serve(descriptor: int, layers: dict[str, str]) -> None:
    """Answers requests until the agent closes its end. What is no request ends the process: an exception
    here is a fault of the agent or of this file, never of a script."""
    worker = Worker()
    _send(descriptor, encode(0, {"ok": True, "layers": layers}))
    while (request := _receive(descriptor)) is not None:
        number, body = request
        head, blob = decode(body)
        _send(descriptor, _message(number, *worker.answer(head, blob)))


def _message(number: int, fields: dict[str, Any], made: bytes) -> bytes:
    """An answer that cannot be sent becomes an error: its size in sum is not looked at before."""
    try:
        message = encode(number, fields, made)
    except (TypeError, ValueError) as error:
        return encode(number, _unsent(f"the answer cannot be sent: {error}"))
    if len(message) - len(made) > MAX_ANSWER_HEAD_BYTES:
        return encode(number, _unsent(f"texts of the answer have more than {MAX_ANSWER_HEAD_BYTES} bytes"))
    if is_laborious(message, len(message) - len(made)):
        return encode(number, _unsent("the answer has more values or marks than the agent reads"))
    return message


def _unsent(message: str) -> dict[str, Any]:
    return {"ok": False, "error": {"type": "Unsent", "message": message, "line": None, "traceback": ""}}


def _receive(descriptor: int) -> tuple[int, memoryview] | None:
    """A message's id and what stands behind it; None: there are no more. There is one request at a time, so
    that nothing of another is read with it."""
    data = b""
    while len(data) < HEAD.size:
        more = os.read(descriptor, _CHUNK_BYTES)
        if not more:
            return None
        data += more
    length, number = HEAD.unpack_from(data)
    if length > MAX_REQUEST_BYTES:
        raise ValueError(f"a request of {length} bytes")
    body = memoryview(data)[HEAD.size :]
    if len(body) == length:
        return number, body
    parts = [bytes(body)]
    missing = length - len(body)
    while missing > 0:
        part = os.read(descriptor, min(missing, 1 << 20))
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    return number, memoryview(b"".join(parts))


def _send(descriptor: int, message: bytes) -> None:
    view = memoryview(message)
    while view:
        view = view[os.write(descriptor, view) :]
