"""Whatever a worker does, the agent's side of it gets an answer or a fault in time, keeps no byte beyond the
bound, and leaves no process."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

from edge_agent.hooks.errors import BadReply, TimedOut, WorkerGone
from edge_agent.hooks.process import WorkerProcess
from edge_agent.hooks.protocol import MAX_REQUEST_BYTES

PEER = str(Path(__file__).parent / "peers" / "hook_worker.py")
MOST = 1 << 20
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def begun(behaviour: str, seconds: float = 10) -> Awaitable[WorkerProcess]:
    return WorkerProcess.start(deadline_seconds=seconds, entry=["-I", PEER, behaviour])


@asynccontextmanager
async def worker(behaviour: str) -> AsyncIterator[WorkerProcess]:
    found = await begun(behaviour)
    try:
        yield found
    finally:
        await found.close()
        assert not psutil.pid_exists(found.pid)


async def ask(of: WorkerProcess, head: Any = None, blob: bytes = b"", seconds: float = 10) -> Any:
    return await of.call(head, blob, deadline_seconds=seconds, most_answer_bytes=MOST)


async def asked_twice(of: WorkerProcess) -> None:
    await ask(of)
    await ask(of)


def descriptors(of: int | str = "self") -> list[str]:
    return sorted(path.name for path in Path(f"/proc/{of}/fd").iterdir())


def each_loop(run: Callable[[], Any]) -> None:
    for make in LOOPS.values():
        with asyncio.Runner(loop_factory=make) as runner:
            runner.run(run())


def test_an_answer_is_what_was_said_on_every_loop() -> None:
    async def run() -> None:
        async with worker("echo") as peer:
            for size in (0, 1, 70_000, MOST):
                head, blob = await ask(peer, {"tag": "Öl", "n": [1.5, None, True]}, os.urandom(size))
                assert (head, len(blob)) == ({"head": {"tag": "Öl", "n": [1.5, None, True]}}, size)

    each_loop(run)


def test_a_request_larger_than_what_the_kernel_holds_arrives_whole_on_every_loop() -> None:
    async def run() -> None:
        async with worker("echo") as peer:
            sent = os.urandom(4 << 20)
            answer = await peer.call(None, sent, deadline_seconds=10, most_answer_bytes=4 << 20)
            assert answer[1] == sent

    each_loop(run)


async def test_layers_are_told_by_name_and_bounded_and_what_is_not_told_is_not_on() -> None:
    async with worker("echo") as peer:
        assert peer.layers["seccomp"] == "on"
        assert len(peer.layers["landlock"]) == 200
        assert peer.layers["rlimits"] == "not reported"
        assert "other" not in peer.layers


async def test_an_answer_in_single_bytes_is_whole() -> None:
    async with worker("split") as peer:
        assert await ask(peer) == ({"ok": True}, b"rows")


@pytest.mark.parametrize(
    "forgery",
    ["other_request", "earlier_request", "huge_length", "too_long", "no_head", "long_head", "long_text",
     "no_json", "no_text", "not_a_number", "infinite", "deep", "deep_and_closed", "many_lists",
     "many_numbers", "long_number", "twice"],
)  # fmt: skip
async def test_what_cannot_be_an_answer_is_a_bad_reply_and_ends_the_worker(forgery: str) -> None:
    async with worker(forgery) as peer:
        with pytest.raises(BadReply):
            # A second answer may come behind the first one: at the latest the next request finds it.
            await asked_twice(peer)
        with pytest.raises(BadReply):
            await ask(peer)


async def test_an_answer_that_nobody_asked_for_is_a_bad_reply() -> None:
    async with worker("nobody_asked") as peer:
        await ask(peer)
        async with asyncio.timeout(10):
            while peer.fault is None:
                await asyncio.sleep(0)
        assert isinstance(peer.fault, BadReply)


@pytest.mark.parametrize("late", ["hang", "drip", "deaf"])
async def test_who_does_not_answer_in_time_is_killed(late: str) -> None:
    async with worker(late) as peer:
        began = time.monotonic()
        with pytest.raises(TimedOut, match="longer than 50 ms"):
            await ask(peer, blob=bytes(4 << 20), seconds=0.05)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("end", "how"),
    [("exit", "with code 7"), ("killed_by", "by SIGSEGV"), ("closes_and_lives", "by SIGKILL")],
)
async def test_how_a_worker_ended_is_told(end: str, how: str) -> None:
    async with worker(end) as peer:
        with pytest.raises(WorkerGone, match=how):
            await ask(peer)


async def test_a_request_that_no_worker_would_take_is_a_fault_and_not_sent() -> None:
    async with worker("echo") as peer:
        with pytest.raises(WorkerGone, match="are the most"):
            await ask(peer, blob=bytes(MAX_REQUEST_BYTES))


async def test_one_who_is_killed_from_outside_is_gone_and_tells_so_at_the_next_request() -> None:
    async with worker("hang") as peer:
        os.kill(peer.pid, 9)
        with pytest.raises(WorkerGone, match="by SIGKILL"):
            await ask(peer)


async def test_a_kill_ends_the_call_that_waits() -> None:
    async with worker("hang") as peer:
        asyncio.get_running_loop().call_soon(peer.kill)
        with pytest.raises(WorkerGone, match="by the agent"):
            await ask(peer)


async def test_a_cancelled_call_ends_the_worker() -> None:
    async with worker("hang") as peer:
        call = asyncio.ensure_future(ask(peer))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert peer.fault is not None


async def test_descriptors_that_a_worker_passes_do_not_stay() -> None:
    async with worker("with_descriptors") as peer:
        before = len(descriptors())
        with pytest.raises((BadReply, TimedOut, WorkerGone)):
            await ask(peer, seconds=0.5)
    assert len(descriptors()) < before


async def test_no_hello_is_told_with_what_the_process_said_last() -> None:
    with pytest.raises(WorkerGone, match="with code 1: nothing works here"):
        await begun("no_hello")


@pytest.mark.parametrize(("behaviour", "fault"), [("mute", TimedOut), ("hello_without_layers", BadReply)])
async def test_who_does_not_tell_its_layers_is_no_worker(behaviour: str, fault: type[WorkerGone]) -> None:
    others = set(psutil.Process().children())
    with pytest.raises(fault):
        await begun(behaviour, seconds=0.5)
    assert set(psutil.Process().children()) == others


async def test_a_worker_has_a_session_of_its_own_that_no_signal_of_a_terminal_reaches() -> None:
    async with worker("hang") as peer:
        assert os.getpgid(peer.pid) == peer.pid != os.getpgid(0)


async def test_an_empty_environment_and_three_descriptors_are_all_that_it_is_given() -> None:
    os.set_inheritable(leak := os.open("/dev/null", os.O_RDONLY), True)
    try:
        async with worker("hang") as peer:
            seen = psutil.Process(peer.pid)
            assert (seen.environ(), seen.cwd()) == ({}, "/")
            assert descriptors(peer.pid) == ["0", "1", "2"]
    finally:
        os.close(leak)
