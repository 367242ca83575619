"""kill -9 while the tables are brought up to date: the version before stays, whole."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from central_sync.store import database
from tests.crash.mutations import environment
from tests.crash.watched import edited
from tests.unit.central import golden

GOLDEN = Path(__file__).parents[1] / "golden" / "central"
# Dies at the statement whose number is in the environment.
_DYING = {
    ("central_sync/store/database.py", "                    connection.execute(statement)\n"): """\
                    connection.execute(statement)
                    _done.append(statement)
                    if len(_done) == int(os.environ["TEST_DIE_AT"]):
                        os.kill(os.getpid(), 9)
""",
    ("central_sync/store/database.py", "_WAL_PAGES: Final = 4_000\n"): (
        "_WAL_PAGES: Final = 4_000\n_done: list[str] = []\n"
    ),
}


def statements() -> int:
    known = [sql for number, sql in database.migrations() if number > golden.LAST_BEFORE]
    return sum(len(list(database.statements(sql))) for sql in known)


def state(data: Path) -> tuple[int, list[tuple[str, str]]]:
    """Version and tables, as the next start finds them."""
    with closing(sqlite3.connect(data / database.DATABASE_NAME)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        version = int(database.read_meta(connection, "version") or 0)
        return version, connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY 1").fetchall()


def test_a_kill_in_the_middle_leaves_the_version_before_and_the_next_start_completes(tmp_path: Path) -> None:
    package = edited(tmp_path / "package", _DYING)
    data = tmp_path / "data"
    golden.load(GOLDEN / f"version-{golden.LAST_BEFORE}.sql.gz", data)
    before = state(data)
    count = statements()
    for number in sorted({1, count // 3, count // 2, count}):
        died = subprocess.run(
            [sys.executable, "-m", "central_sync", "token", "list", "--data", str(data)],
            env={**environment(package), "TEST_DIE_AT": str(number)}, check=False, timeout=30,
        )  # fmt: skip
        assert died.returncode == -9, f"it did not die at statement {number} of {count}"
        assert state(data) == before
    database.prepare(data)
    assert state(data)[0] == database.migrations()[-1][0]
