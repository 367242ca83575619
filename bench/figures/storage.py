"""What a sample takes on disk, and what a day of little traffic writes to flash, beside rows in SQLite."""

import asyncio
import contextlib
import random
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import arrivals
from bench.figure import Beside, Order, Outcome, progress
from bench.plant import Load, Plant
from bench.processes import ProcessTree, written_bytes
from bench.uploads import commits
from edge_agent.wire.schema import Schema
from edge_agent.wire.values import elements

_GOAL_BYTES: Final = 4.0
_LEAST_SAMPLES: Final = 200
_CONNECTIONS: Final = 10
_TAGS: Final = 100

_GOAL_FLASH: Final = 1.2
_DAY_SECONDS: Final = 86_400
_FLASH_SETTLE_SECONDS: Final = 5.0
# As many commits as let several checkpoints of the peer happen.
_PLAIN_COMMITS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Values:
    """What the tags hold: numbers of `type` between 0 and `high`, with two decimals where it has any."""

    name: str
    type: str
    high: float
    what: str

    def load(self, *, noise: bool) -> Load:
        """Sines, each with its own range and period; or numbers that have nothing in common."""
        chance, words = random.Random(1), 2 if self.type == "float32" else 1
        signals = []
        for index in range(_CONNECTIONS * _TAGS):
            signal: dict[str, Any] = {"area": "holding", "address": index * words, "type": self.type}
            if noise:
                signal |= {"kind": "random", "low": 0, "high": self.high}
            else:
                low, span = chance.uniform(0, 0.6) * self.high, chance.uniform(0.05, 0.4) * self.high
                signal |= {
                    "kind": "sine",
                    "low": low,
                    "high": low + span,
                    "period": chance.randint(200, 2000),
                }
            signals.append(signal)
        return Load(_CONNECTIONS, _TAGS, type=self.type, signals=tuple(signals))


# 0 to 1,000,000 with two decimals uses every bit of a float32's mantissa.
_KINDS: Final = (
    Values("bytes_a_sample", "uint16", 65_535, "uint16"),
    Values("bytes_a_sample_float32", "float32", 1e6, "float32 with all bits in use"),
    Values("bytes_a_sample_2_decimals", "float32", 100, "float32 with two decimals, 0 to 100"),
)


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes a sample: of the batches' bodies, of the file's growth, and as rows. batch: samples in one."""

    body: float
    file: float
    batch: float
    rows: float


async def bytes_a_sample(order: Order) -> list[Outcome]:
    """Three types, each smooth, as process values are, and as noise, which nothing can compress."""
    found = []
    for values in _KINDS:
        smooth = await _store(order, values, noise=False)
        found.append(_outcome(values, smooth, await _store(order, values, noise=True)))
    return found


async def _store(order: Order, values: Values, *, noise: bool) -> Stored:
    directory = order.directory / f"{values.name}-{noise}"
    directory.mkdir()
    load = values.load(noise=noise)
    async with Plant(directory, load) as plant:
        plant.write_config(_apart(plant.document, load))
        await plant.start_agent()
        await plant.settle()
        before = _held(directory / "buffer.db")
        await asyncio.sleep(order.seconds / (2 * len(_KINDS)))
        after = _held(directory / "buffer.db")
        await plant.drained()
        rows = await asyncio.to_thread(_rows, plant.central_database, directory / "rows.db")
    batches, samples, body, size = (end - begin for begin, end in zip(before, after, strict=True))
    return Stored(body / samples, size / samples, samples / batches, rows)


def _apart(document: dict[str, Any], load: Load) -> dict[str, Any]:
    """Every connection reads registers of its own: equal values would compress to nothing."""
    for index, connection in enumerate(document["connections"]):
        first = index * load.registers
        (tags,) = connection["groups"][0]["tags"]
        tags["address"] = f"holding:{first}..{first + load.registers - 1}"
    return document


def _held(buffer: Path) -> tuple[int, int, int, int]:
    """Batches, their samples and bytes, and the bytes of the pages in use, those in the log included."""
    with contextlib.closing(sqlite3.connect(f"file:{buffer}?mode=ro", uri=True)) as db:
        sql = "SELECT count(*), sum(samples), sum(length(body)) FROM batch WHERE samples >= ?"
        batches, samples, body = db.execute(sql, (_LEAST_SAMPLES,)).fetchone()
        ((size,),) = db.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
    return batches, samples, body, size


def _rows(database: Path, path: Path) -> float:
    """Bytes a sample where each is a row of SQLite."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE sample(tag INTEGER NOT NULL, t INTEGER NOT NULL, value, quality INTEGER)")
        db.execute("BEGIN")
        count = db.executemany("INSERT INTO sample VALUES (?, ?, ?, 0)", _samples(database)).rowcount
        db.execute("COMMIT")
    return path.stat().st_size / count


def _samples(database: Path) -> Iterator[tuple[int, int, float]]:
    """(tag, UTC milliseconds, value) of everything that the centre got."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        schemas = [Schema.from_bytes(bytes(body)) for (body,) in db.execute("SELECT body FROM schema")]
    first = {schema.connection: (index * _TAGS, schema.tags[0]) for index, schema in enumerate(schemas)}
    for each in arrivals.frames(database):
        start, tag = first[each.connection]
        for index, value in enumerate(elements(tag.type, tag.order, each.frame.row)):
            yield start + index, each.frame.wall_ms, value


def _outcome(values: Values, smooth: Stored, noise: Stored) -> Outcome:
    return Outcome(
        values.name, round(smooth.body, 3), "B", f"≤ {_GOAL_BYTES:g}", smooth.body <= _GOAL_BYTES,
        f"{values.what}: {_CONNECTIONS} connections × {_TAGS} tags at 1 s, a batch each second; sines, each "
        "of its own range and period; length of the buffer's bodies over their samples. noise_…: random "
        "numbers of the whole range instead",
        Beside("a row for each sample", round(smooth.rows, 2), "B", round(smooth.body / smooth.rows, 3)),
        {
            "samples_a_batch": round(smooth.batch),
            "file_bytes_a_sample": round(smooth.file, 3),
            "noise_bytes_a_sample": round(noise.body, 3),
            "noise_file_bytes_a_sample": round(noise.file, 3),
            "noise_row_bytes_a_sample": round(noise.rows, 2),
        },
    )  # fmt: skip


async def flash_a_day(order: Order) -> list[Outcome]:
    async with Plant(order.directory, Load(connections=1, tags=10, flush_interval=1.0)) as plant:
        await plant.start_agent()
        await asyncio.sleep(_FLASH_SETTLE_SECONDS)
        tree, buffer = ProcessTree(plant.agent.pid), plant.directory / "buffer.db"
        before, done, wal, begin = tree.written_bytes(), commits(buffer), _wal_bytes(buffer), time.monotonic()
        progress(f"the agent writes for {order.seconds:g} s")
        await asyncio.sleep(order.seconds)
        seconds = time.monotonic() - begin
        written, done = tree.written_bytes() - before, commits(buffer) - done
        details = {
            "commits_a_second": round(done / seconds, 2),
            "bytes_a_commit": round(written / done),
            "wal_bytes_before": wal,
            "wal_bytes_after": _wal_bytes(buffer),
        }
        await plant.drained()
    body = await asyncio.to_thread(_mean_body, buffer)
    plain = await asyncio.to_thread(_plain, order.directory / "plain.db", body)
    day, peer = written / seconds * _DAY_SECONDS / 1e9, plain * _DAY_SECONDS / 1e9
    return [
        Outcome(
            "flash_a_day", round(day, 3), "GB", f"≤ {_GOAL_FLASH:g}", day <= _GOAL_FLASH,
            "1 connection of 10 tags at 1 s, a commit each second; write_bytes of the agent's processes, "
            "scaled to a day. The write-ahead log is copied into the database when it reaches its limit: a "
            "short run has that once or never, by wal_bytes_before and _after",
            Beside("a plain SQLite insert and commit each second of as many bytes", round(peer, 3), "GB",
                   round(day / peer, 2)),
            details | {"body_bytes": body, "plain_commits": _PLAIN_COMMITS},
        )
    ]  # fmt: skip


def _wal_bytes(database: Path) -> int:
    return Path(f"{database}-wal").stat().st_size


def _mean_body(buffer: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{buffer}?mode=ro", uri=True)) as db:
        (mean,) = db.execute("SELECT avg(length(body)) FROM batch WHERE samples > 0").fetchone()
    return round(float(mean))


def _plain(path: Path, body: int) -> float:
    """Bytes that this thread causes to be written for each commit of a row, checkpoints included."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE batch(id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        before = written_bytes(Path("/proc/thread-self/io"))
        for _ in range(_PLAIN_COMMITS):
            db.execute("INSERT INTO batch(body) VALUES (randomblob(?))", (body,))
        return (written_bytes(Path("/proc/thread-self/io")) - before) / _PLAIN_COMMITS
