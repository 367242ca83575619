"""The centre under a service manager: ready, alive, stopping; its exit codes; a stop that does not hang."""

import asyncio
import os
import signal
import socket
import time
from pathlib import Path

from tests.crash.watched import BLOCK, TRIGGERED, Watched, edited

WATCHDOG_SECONDS = 3.0
HURRIED_SECONDS = 2.0
_HANG_WRITER = {
    ("central_sync/store/writer.py", '            connection.execute("BEGIN IMMEDIATE")\n'): f"""\
            if {TRIGGERED}:
                {BLOCK}
            connection.execute("BEGIN IMMEDIATE")
""",
    ("central_sync/workers/watchdog.py", "WRITER_SECONDS: Final = 60.0"): "WRITER_SECONDS: Final = 2.0",
    ("central_sync/workers/checkpoints.py", "CHECKPOINT_SECONDS: Final = 10.0"): (
        "CHECKPOINT_SECONDS: Final = 0.2"
    ),
}


def _arguments(directory: Path, listen: str = "127.0.0.1:0") -> list[str]:
    return ["central_sync", "run", "--data", str(directory / "central"), "--listen", listen, "--json"]


async def test_it_tells_ready_alive_and_stopping_and_ends_with_0(tmp_path: Path) -> None:
    async with Watched(tmp_path, _arguments(tmp_path), watchdog_seconds=WATCHDOG_SECONDS) as centre:
        await centre.ready()
        since = time.monotonic()
        await asyncio.sleep(6)
        assert len(centre.times("WATCHDOG=1", since)) >= 3
        centre.send(signal.SIGTERM)
        code, _ = await centre.ended()
        assert code == 0
        assert centre.times("STOPPING=1")
        steps = [line["step"] for line in centre.logged("a step of the stop is done")]
        assert steps == ["requests", "database"]


async def test_a_writer_that_hangs_starves_the_watchdog_and_keeps_nobody_from_stopping(
    tmp_path: Path,
) -> None:
    hanging = edited(tmp_path / "package", _HANG_WRITER)
    async with Watched(
        tmp_path, _arguments(tmp_path), watchdog_seconds=WATCHDOG_SECONDS, package=hanging
    ) as centre:
        await centre.ready()
        centre.trigger.touch()
        await centre.until(lambda: centre.times("STATUS=no progress: writer"), what="the stall")
        since = time.monotonic()
        await asyncio.sleep(2 * WATCHDOG_SECONDS)
        assert centre.times("WATCHDOG=1", since) == []
        centre.send(signal.SIGTERM)
        await centre.until(lambda: centre.times("STOPPING=1"))
        second = centre.send(signal.SIGTERM)
        code, at = await centre.ended()
        assert code == 0
        assert at - second < HURRIED_SECONDS
        assert centre.logged("a step of the stop was cut off")[0]["step"] == "database"


async def test_a_centre_that_was_frozen_feeds_again(tmp_path: Path) -> None:
    async with Watched(tmp_path, _arguments(tmp_path), watchdog_seconds=WATCHDOG_SECONDS) as centre:
        await centre.ready()
        os.kill(centre.process.pid, signal.SIGSTOP)
        await asyncio.sleep(8)
        os.kill(centre.process.pid, signal.SIGCONT)
        since = time.monotonic()
        await centre.until(lambda: len(centre.times("WATCHDOG=1", since)) >= 3)


async def test_a_signal_during_a_long_start_is_honoured(tmp_path: Path) -> None:
    slow = edited(
        tmp_path / "package",
        {("central_sync/store/sqlite.py", "        count = 0\n"): f"        count = 0\n        {BLOCK}\n"},
    )
    async with Watched(tmp_path, _arguments(tmp_path), package=slow) as centre:
        await centre.until(lambda: centre.times("EXTEND_TIMEOUT_USEC="))
        await asyncio.sleep(0.5)
        began = centre.send(signal.SIGTERM)
        code, at = await centre.ended()
        assert code == 0
        assert at - began < 4
        assert not centre.times("READY=1")


async def test_a_writer_that_is_gone_ends_it_with_4(tmp_path: Path) -> None:
    gone = edited(
        tmp_path / "package",
        {
            ("central_sync/store/writer.py", "                self._group += 1\n"): f"""\
                self._group += 1
                if {TRIGGERED}:
                    raise sqlite3.OperationalError("disk I/O error")
""",
            ("central_sync/workers/checkpoints.py", "CHECKPOINT_SECONDS: Final = 10.0"): (
                "CHECKPOINT_SECONDS: Final = 0.2"
            ),
        },
    )
    async with Watched(tmp_path, _arguments(tmp_path), package=gone) as centre:
        await centre.ready()
        centre.trigger.touch()
        code, _ = await centre.ended()
        assert code == 4
        assert "the database cannot be written any more" in centre.log_file.read_text()


async def test_an_address_or_a_database_in_use_ends_it_with_3(tmp_path: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    listen = f"127.0.0.1:{taken.getsockname()[1]}"
    async with Watched(tmp_path, _arguments(tmp_path, listen)) as centre:
        assert (await centre.ended())[0] == 3
    taken.close()
    (tmp_path / "notify").unlink()
    (tmp_path / "second").mkdir()
    async with Watched(tmp_path, _arguments(tmp_path)) as centre:
        await centre.ready()
        async with Watched(tmp_path / "second", _arguments(tmp_path)) as second:
            assert (await second.ended())[0] == 3
