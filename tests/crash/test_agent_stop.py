"""The agent's stop: in order, under deadlines, whatever hangs; its exit codes; nothing lost.

Real processes. What must hang is made to in a copy of the package (`watched.edited`).
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from edge_agent.app.ending import HOOK_SECONDS
from edge_agent.demo.children import Child, output_of
from tests.crash.rig import free_port
from tests.crash.watched import BLOCK, TRIGGERED, Site, Watched, edited

# What the stop may take in all, with what a loaded machine adds.
STOP_SECONDS = 20.0
HURRIED_SECONDS = 2.0


@pytest.fixture
def site(tmp_path: Path, plc: int) -> Iterator[Site]:
    place = Site(tmp_path, plc)
    yield place
    place.clear()


async def _polled(agent: Watched, site: Site) -> int:
    """Waits until samples were taken; how many."""
    await agent.ready()
    while not (framed := await site.framed()):
        await asyncio.sleep(0.05)
    return framed


async def test_a_signal_ends_it_in_order_with_everything_stored(site: Site) -> None:
    async with Watched(site.directory, site.arguments) as agent:
        framed = await _polled(agent, site)
        agent.send(signal.SIGTERM)
        code, _ = await agent.ended()
        assert code == 0
        assert agent.times("STOPPING=1")
        (stages,) = agent.logged("stages of the stop in seconds")
        names = ["intake", "pipeline", "commit", "last_upload", "parts", "close"]
        assert [name for name in stages if name in names] == names
        assert not list(site.runtime.glob("ring-*")), "a clean end leaves nothing in the ring"
    assert await site.stored() >= framed


async def test_a_frozen_plc_keeps_nobody_from_stopping(tmp_path: Path) -> None:
    """It takes connections, and says nothing."""
    frozen = socket.create_server(("127.0.0.1", 0))
    site = Site(tmp_path, frozen.getsockname()[1])
    async with Watched(tmp_path, site.arguments) as agent:
        await agent.ready()
        began = agent.send(signal.SIGTERM)
        code, at = await agent.ended()
        assert code == 0
        assert at - began < 5
    frozen.close()
    site.clear()


async def test_a_frozen_centre_costs_the_last_upload_its_time_and_a_second_signal_ends_that(
    tmp_path: Path, plc: int
) -> None:
    data, port = tmp_path / "central", free_port()
    token = await output_of("central_sync", "token", "create", "--data", str(data), "--device", "watched")
    centre = Child(
        "centre",
        ["central_sync", "run", "--data", str(data), "--listen", f"127.0.0.1:{port}", "--json"],
        tmp_path / "centre.log",
    )
    await centre.start()
    await centre.ready()
    site = Site(tmp_path, plc, central={"url": f"http://127.0.0.1:{port}", "token": token})
    try:
        async with Watched(tmp_path, site.arguments, watchdog_seconds=3) as agent:
            await agent.until(lambda: agent.times("STATUS=1 connection; buffer 0 %; central ok"))
            os.kill(centre.pid, signal.SIGSTOP)
            taken = framed = await site.framed()
            async with asyncio.timeout(10):
                # Without anything to send there is nothing to wait for at the stop.
                while framed == taken:
                    await asyncio.sleep(0.05)
                    framed = await site.framed()
            began = agent.send(signal.SIGTERM)
            await agent.until(lambda: agent.times("STOPPING=1"))
            await asyncio.sleep(1)
            assert agent.process.returncode is None, "it waits for the centre, as a second signal shows"
            second = agent.send(signal.SIGTERM)
            code, at = await agent.ended()
            assert code == 0
            assert at - second < HURRIED_SECONDS
            assert at - began < STOP_SECONDS
        assert await site.stored() >= framed
    finally:
        await centre.kill()
        site.clear()


async def test_a_part_that_ignores_its_end_is_left_behind_and_everything_is_stored(
    tmp_path: Path, site: Site
) -> None:
    """What a hook's host or a driver's library can do: swallow the cancellation, for ever."""
    stubborn = edited(
        tmp_path / "package",
        {
            ("edge_agent/app/clockwatch.py", "            await self._clock.sleep(LOOK_SECONDS)\n"): """\
            while True:
                try:
                    await self._clock.sleep(LOOK_SECONDS)
                except BaseException:
                    continue
"""
        },
    )
    async with Watched(tmp_path, site.arguments, package=stubborn) as agent:
        framed = await _polled(agent, site)
        began = agent.send(signal.SIGTERM)
        code, at = await agent.ended()
        assert code == 0
        assert at - began < STOP_SECONDS
        assert agent.logged("a stage of the stop was cut off")[0]["stage"] == "parts"
        assert agent.logged("ending with parts that do not end")[0]["components"] == ["clock"]
    assert await site.stored() >= framed


async def test_a_commit_that_hangs_is_cut_off_and_its_frames_wait_in_the_ring(
    tmp_path: Path, site: Site
) -> None:
    """The disk hangs in the kernel. A second signal ends the process soon, and the next start has it all."""
    hanging = edited(
        tmp_path / "package",
        {
            ("edge_agent/buffer/file.py", '    db.execute("BEGIN IMMEDIATE")\n'): f"""\
    if {TRIGGERED}:
        {BLOCK}
    db.execute("BEGIN IMMEDIATE")
"""
        },
    )
    async with Watched(tmp_path, site.arguments, package=hanging) as agent:
        await _polled(agent, site)
        agent.trigger.touch()
        await asyncio.sleep(1.5)
        framed = await site.framed()
        agent.send(signal.SIGTERM)
        await agent.until(lambda: agent.times("STOPPING=1"))
        second = agent.send(signal.SIGTERM)
        code, at = await agent.ended()
        assert code == 0
        assert at - second < HURRIED_SECONDS
        assert "commit" in [line["stage"] for line in agent.logged("a stage of the stop was cut off")]
        assert await site.stored() < framed
    (site.directory / "notify").unlink()
    async with Watched(tmp_path, site.arguments) as agent:
        await agent.ready()
        assert await site.stored() >= framed, "a kill loses nothing either"


async def test_a_signal_during_a_long_start_is_honoured(tmp_path: Path, site: Site) -> None:
    """The writer's thread is busy for minutes with what it found."""
    slow = edited(
        tmp_path / "package",
        {
            ("edge_agent/buffer/store.py", "        self._ring.open(self.identity.device)\n"): f"""\
        self._ring.open(self.identity.device)
        await asyncio.to_thread(lambda: {BLOCK})
"""
        },
    )
    async with Watched(tmp_path, site.arguments, package=slow) as agent:
        await agent.until(lambda: agent.times("EXTEND_TIMEOUT_USEC="))
        await asyncio.sleep(0.5)
        began = agent.send(signal.SIGTERM)
        code, at = await agent.ended()
        assert code == 0
        assert at - began < 4
        assert not agent.times("READY=1")


async def test_a_broken_invariant_ends_it_with_4_one_line_and_everything_stored(
    tmp_path: Path, site: Site
) -> None:
    broken = edited(
        tmp_path / "package",
        {
            ("edge_agent/app/clockwatch.py", "            await self._clock.sleep(LOOK_SECONDS)\n"): f"""\
            await self._clock.sleep(0.1)
            if {TRIGGERED}:
                from edge_agent.contracts.errors import InvariantBroken
                raise InvariantBroken("7 + 1 = 9")
"""
        },
    )
    async with Watched(tmp_path, site.arguments, package=broken) as agent:
        framed = await _polled(agent, site)
        agent.trigger.touch()
        code, _ = await agent.ended()
        assert code == 4
        (line,) = [line for line in agent.lines() if line.get("level") == "critical"]
        assert line["event"] == "ending: an essential part failed"
        assert (line["component"], line["error"]) == ("clock", "7 + 1 = 9")
        assert "Traceback" not in agent.log_file.read_text()
    assert await site.stored() >= framed


async def test_a_writer_that_breaks_its_invariant_writes_no_more(tmp_path: Path, site: Site) -> None:
    broken = edited(
        tmp_path / "package",
        {
            (
                "edge_agent/buffer/store.py",
                "                await self.memory.wait(self.flush_seconds)\n",
            ): f"""\
                await self.memory.wait(self.flush_seconds)
                if {TRIGGERED}:
                    from edge_agent.contracts.errors import InvariantBroken
                    raise InvariantBroken("a seq was given twice")
"""
        },
    )
    async with Watched(tmp_path, site.arguments, package=broken) as agent:
        framed = await _polled(agent, site)
        agent.trigger.touch()
        code, _ = await agent.ended()
        assert code == 4
        (line,) = [line for line in agent.lines() if line.get("level") == "critical"]
        assert line["component"] == "writer"
    (site.directory / "notify").unlink()
    async with Watched(tmp_path, site.arguments) as agent:
        await agent.ready()
        assert await site.stored() >= framed, "what it did not write any more was in the ring"


async def test_a_buffer_or_a_port_in_use_ends_it_with_3(tmp_path: Path, site: Site, plc: int) -> None:
    async with Watched(site.directory, site.arguments) as agent:
        await agent.ready()
        (tmp_path / "second").mkdir()
        async with Watched(tmp_path / "second", site.arguments) as second:
            code, _ = await second.ended()
            assert code == 3
            assert "uses this already" in second.log_file.read_text()
    taken = socket.create_server(("127.0.0.1", 0))
    listen = f"127.0.0.1:{taken.getsockname()[1]}"
    (tmp_path / "third").mkdir()
    other = Site(
        tmp_path / "third", plc, agent={"id": "other", "page_listen": None, "metrics_listen": listen}
    )
    async with Watched(tmp_path / "third", other.arguments) as third:
        code, _ = await third.ended()
        assert code == 3
        assert "cannot be opened" in third.log_file.read_text()
    taken.close()
    other.clear()


async def test_a_third_signal_ends_it_at_once(tmp_path: Path, site: Site) -> None:
    stubborn = edited(
        tmp_path / "package",
        {
            ("edge_agent/app/ending.py", "        await self.crew.end(_INTAKE)\n"): """\
        while True:
            try:
                await self.clock.sleep(60)
            except BaseException:
                continue
"""
        },
    )
    async with Watched(tmp_path, site.arguments, package=stubborn) as agent:
        await _polled(agent, site)
        agent.send(signal.SIGINT)
        await agent.until(lambda: agent.times("STOPPING=1"))
        agent.send(signal.SIGINT)
        await agent.until(lambda: agent.logged("stopping in a hurry: a second signal came"))
        began = agent.send(signal.SIGINT)
        code, at = await agent.ended()
        assert code == 130
        assert at - began < 1


async def test_a_hangup_while_the_config_is_read_ends_nothing(site: Site) -> None:
    """Whoever asks for a reload too early is not to end the start."""
    late = site.directory / "late.yaml"
    os.mkfifo(late)
    agent = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge_agent", "run", "-c", str(late), stderr=asyncio.subprocess.PIPE
    )
    # Opening it for writing returns once somebody reads.
    with await asyncio.to_thread(late.open, "wb") as config:
        agent.send_signal(signal.SIGHUP)
        config.write(b"no: config\n")
    _, errors = await agent.communicate()
    assert (agent.returncode, b"unknown key 'no'" in errors) == (2, True)


HANGING = "def transform(frame):\n    while True:\n        pass\n"


async def test_scripts_that_hang_in_a_flush_do_not_keep_the_last_one_from_its_commit(
    tmp_path: Path, plc: int
) -> None:
    """The flush before a change of scripts is the one that runs; one of a long interval gives them longer."""
    hooks = [{"name": name, "point": "transform", "source": HANGING} for name in ("one", "two", "three")]
    site = Site(
        tmp_path, plc, buffer={"path": str(tmp_path / "buffer.db"), "flush_interval": "30s"},
        hooks={"scripts": hooks},
    )  # fmt: skip
    async with Watched(tmp_path, site.arguments) as agent:
        framed = await _polled(agent, site)
        workers = {pid: _cpu(pid) for pid in _workers(agent.process.pid)}
        assert len(workers) == 3
        document = yaml.safe_load(site.config.read_text())
        site.config.write_text(yaml.safe_dump({**document, "hooks": {"scripts": hooks[:1]}}))
        agent.send(signal.SIGHUP)
        await agent.until(lambda: any(_cpu(pid) > cpu + 10 for pid, cpu in workers.items()))
        agent.send(signal.SIGTERM)
        code, _ = await agent.ended()
        assert code == 0
        assert not agent.logged("a stage of the stop was cut off")
        (stages,) = agent.logged("stages of the stop in seconds")
        assert stages["commit"] < HOOK_SECONDS + 1.0
        assert not list(site.runtime.glob("ring-*"))
    assert await site.stored() >= framed
    site.clear()


def _workers(agent: int) -> list[int]:
    tasks = Path(f"/proc/{agent}/task")
    children = [pid for task in tasks.iterdir() for pid in (task / "children").read_text().split()]
    return [int(pid) for pid in children if b"hooks.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _cpu(process: int) -> int:
    """Hundredths of a second; those of a process that is gone do not grow."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields[11]) + int(fields[12])
