import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.contracts.errors import Unavailable
from edge_agent.runtime.errors import InUse
from edge_agent.runtime.lock import FileLock

ROOT = Path(__file__).parents[3]


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    path = tmp_path / "buffer.db.lock"
    with FileLock(path):
        with pytest.raises(InUse, match=rf"buffer\.db\.lock: an agent \(pid {os.getpid()}\)") as caught:
            FileLock(path)
        assert isinstance(caught.value, Unavailable)
    with FileLock(path):
        pass


def test_a_release_may_come_twice_and_takes_nothing_from_a_successor(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = FileLock(path)
    first.release()
    with FileLock(path):
        first.release()
        with pytest.raises(InUse):
            FileLock(path)


def test_a_killed_holder_leaves_nothing_locked(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys; from pathlib import Path; from edge_agent.runtime.lock import FileLock; "
        "lock = FileLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(InUse, match=f"pid {holder.pid}"):
            FileLock(path)
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
        with FileLock(path):
            pass


def test_a_disk_that_has_no_room_for_the_holders_pid_keeps_nobody_from_holding(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import resource, sys; from pathlib import Path; from edge_agent.runtime.lock import FileLock; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
        "lock = FileLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(InUse, match="pid unknown"):
            FileLock(path)
        holder.kill()
