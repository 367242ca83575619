"""Rows for the golden databases of tests/golden/central, and the answers that must stay what they were.

A new version gets its files from `make`, run within the tree of the commit before the migration.
"""

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from edge_agent.wire.batch import Kind, RecordsPart
from tests.unit.central.conftest import House
from tests.unit.central.edge import T0, Edge

# The newest version before the work that is not released yet.
LAST_BEFORE = 2
CONFIG = json.dumps({"connections": [{"name": "press1", "driver": "modbus"}]}).encode()
QUESTIONS = (
    "/api/fleet/devices/dev-1",
    "/api/fleet/devices/dev-2",
    "/api/fleet/devices/dev-1/latest-values",
    f"/api/fleet/devices/dev-1/tags/t1/timeseries?from={T0}&to={T0 + 3_600_000}",
    "/api/fleet/devices/dev-1/events",
    "/api/fleet/data/stats",
    "/api/fleet/edge/dev-1/config",
)


async def fill(house: House) -> Edge:
    """What a small site leaves behind: uploads, a loss, an ended epoch, heartbeats, configs. Returns the
    edge of dev-1 as it goes on."""
    old = Edge(epoch="epoch-0", no=1, run="run-0")
    edge = Edge(epoch="epoch-a", no=2)
    other = Edge(device="dev-2", epoch="epoch-x", run="run-x")
    for one in (old, edge, other):
        await house.put_schema(one)
    for one, count in ((old, 4), (edge, 9), (other, 3)):
        items = [one.make([one.n, 2, 3]) for _ in range(count)]
        await house.post(one, one.upload(*items))
    edge.next += 2
    clock = {"why": "start", "mono_ns": 10**9, "wall_ms": T0 + 1_000, "sync": True}
    await house.post(
        edge, edge.upload(edge.losing([(10, 10)]), edge.seal([RecordsPart(Kind.CLOCK, [clock])]))
    )
    for one in (edge, other):
        await house.beat(one, labels={"site": "north"})
    for body in (b'{"connections": []}', CONFIG):
        await house.ask("PUT", "/api/fleet/edge/dev-1/config", "admin", body)
    return edge


async def answers(house: House) -> dict[str, Any]:
    return {question: await house.get(question, "admin") for question in QUESTIONS}


def dump(data: Path) -> str:
    with closing(sqlite3.connect(data / "central.db")) as connection:
        return "\n".join(connection.iterdump())


def load(dumped: Path, data: Path) -> None:
    """Makes a data directory of a dump."""
    data.mkdir(mode=0o700, parents=True)
    with closing(sqlite3.connect(data / "central.db")) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.executescript(gzip.decompress(dumped.read_bytes()).decode())


def make(data: Path, said: dict[str, Any], version: int, golden: Path) -> None:
    """Writes the golden files of a version."""
    packed = gzip.compress(dump(data).encode(), 9, mtime=0)
    (golden / f"version-{version}.sql.gz").write_bytes(packed)
    text = json.dumps(said, indent=1, sort_keys=True, ensure_ascii=False)
    (golden / f"version-{version}.json").write_text(text + "\n", encoding="utf-8")
