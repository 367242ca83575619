"""A trial believes no answer, outlives any script, and compiles nothing where a required layer is missing."""

import resource
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from edge_agent.contracts.errors import Unavailable
from edge_agent.hooks.errors import NotConfined, TimedOut, WorkerGone
from edge_agent.hooks.layers import LAYERS
from edge_agent.hooks.trial import Trial, try_scripts
from edge_agent.wire.scripts import HookPoint, Script

LOADED = {"ok": True, "outputs": [["f", "float32"]], "inputs": []}


class Worker:
    """Answers what it was told to; a fault ends it."""

    def __init__(self, answers: list[Any], layers: dict[str, str] | None = None) -> None:
        self.layers = dict.fromkeys(LAYERS, "on") | (layers or {})
        self.fault: WorkerGone | None = None
        self.asked: list[str] = []
        self.closed = False
        self._answers = answers

    async def call(
        self, head: Any, blob: bytes = b"", *, deadline_seconds: float, most_answer_bytes: int
    ) -> tuple[Any, memoryview]:
        self.asked.append(head["hook"])
        answer = self._answers.pop(0)
        if isinstance(answer, WorkerGone):
            self.fault = answer
            raise answer
        return answer, memoryview(b"")

    def kill(self) -> None:
        self.fault = WorkerGone("it was ended")

    async def close(self) -> None:
        self.closed = True


def scripts(*names: str) -> list[Script]:
    return [Script(name=name, hook_type=HookPoint.TRANSFORM, source="1\n2\n") for name in names]


async def tried(answers: list[Any], *names: str) -> tuple[Trial, list[Worker]]:
    begun: list[Worker] = []

    async def start() -> Any:
        begun.append(Worker(answers))
        return begun[-1]

    return await try_scripts(scripts(*names), (), start), begun


async def test_what_compiles_is_not_refused_and_the_worker_ends() -> None:
    trial, (worker,) = await tried([LOADED, {"ok": False, "error": {"message": "no", "line": 2}}], "a", "b")
    assert [(each.script.name, each.message, each.line) for each in trial.refusals] == [("b", "no", 2)]
    assert worker.closed
    assert trial.layers["seccomp"] == "on"


@pytest.mark.parametrize(
    "answer",
    [None, [], {}, {"ok": 1}, {"ok": False}, {"ok": False, "error": {"line": 10**9}},
     LOADED | {"outputs": {"f": 1}}, LOADED | {"inputs": [1]}],
)  # fmt: skip
async def test_what_is_no_answer_refuses_the_script_and_ends_no_other(answer: Any) -> None:
    trial, _ = await tried([answer, LOADED], "a", "b")
    assert [(each.script.name, each.line) for each in trial.refusals] == [("a", None)]


async def test_a_script_that_ends_its_worker_is_refused_and_the_next_one_gets_another() -> None:
    trial, begun = await tried([TimedOut("it took too long"), LOADED], "a", "b")
    assert [each.message for each in trial.refusals] == ["it cannot be compiled: it took too long"]
    assert [worker.asked for worker in begun] == [["a"], ["b"]]


async def test_nothing_is_compiled_where_a_required_layer_is_missing() -> None:
    worker = Worker([], {"landlock": "the kernel has none"})

    async def start() -> Any:
        return worker

    with pytest.raises(NotConfined, match="landlock: the kernel has none"):
        await try_scripts(scripts("a"), ["landlock", "seccomp"], start)
    assert worker.asked == []
    assert worker.closed


async def test_without_file_handles_nothing_is_known_of_a_script() -> None:
    """A reload must be refused then, and not end halfway."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(Unavailable, match="Too many open files"):
            await try_scripts(scripts("a"), ())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_a_process_nothing_is_known_of_a_script() -> None:
    async def start() -> Any:
        raise WorkerGone("no memory")

    with pytest.raises(Unavailable, match="no memory"):
        await try_scripts(scripts("a"), (), start)


class Seen(list[Any]):
    """threads: of who looked into it."""

    def __init__(self, *items: Any) -> None:
        super().__init__(items)
        self.threads: set[int] = set()

    def __iter__(self) -> Iterator[Any]:
        self.threads.add(threading.get_ident())
        return super().__iter__()


async def test_the_tags_that_a_line_declares_are_written_out_beside_the_loop() -> None:
    """20,000 of them take a quarter of a second, in which nothing would be polled."""
    outputs = Seen(["f", "float32"])
    trial, _ = await tried([{"ok": True, "outputs": outputs, "inputs": []}], "many")
    assert trial.refusals == []
    assert outputs.threads
    assert threading.get_ident() not in outputs.threads
