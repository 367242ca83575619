"""The check that nothing writes to a simulated PLC can fail (tests/conftest.py)."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WRITER = """
import subprocess, sys
import pytest
from edge_agent.drivers.write_tally import tell_write

def test_that_writes():
    tell_write("plc", "five")

@pytest.mark.writes
def test_that_may_write():
    tell_write("plc", "six")

def test_whose_child_writes():
    order = 'from edge_agent.drivers.write_tally import tell_write; tell_write("plc", "seven")'
    subprocess.run([sys.executable, "-c", order], check=True)

def test_that_reads():
    pass

@pytest.fixture(scope="module", autouse=True)
def module():
    yield
    tell_write("plc", "eight")
"""


def run(test: str, directory: Path) -> tuple[int, str]:
    (directory / "test_written.py").write_text(test)
    # The marks and rules are the project's own.
    command = ["-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    command += ["-p", "tests.conftest", "-p", "no:cacheprovider", "-q", str(directory / "test_written.py")]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_a_write_fails_the_test_or_the_run_that_it_came_in(tmp_path: Path) -> None:
    code, said = run(WRITER, tmp_path)
    assert code == 1
    assert "ERROR ::test_that_writes" in said
    assert "ERROR ::test_whose_child_writes" in said
    assert "::test_that_may_write" not in said
    assert "::test_that_reads" not in said
    assert "outside of any test:\n  plc: eight" in said
    assert "plc: six" not in said
