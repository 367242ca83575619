"""A centre that lost its memory: restored from a backup or wiped, it asks for what it once acknowledged."""

import asyncio
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

from central_sync.store import database
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import Edge


async def _deliver(house: House, edge: Edge, count: int) -> list[Any]:
    """Uploads new batches; the floor follows their acknowledgement."""
    items = [edge.make() for _ in range(count)]
    answer = (await house.post(edge, edge.upload(*items))).json
    if answer["need_schemas"]:
        await house.put_schema(edge)
        answer = (await house.post(edge, edge.upload(*items))).json
    assert answer["acked"] == [[items[0].seq, items[-1].seq]]
    edge.floor = edge.next
    return items


def _wipe(path: Path) -> None:
    """All that agents have ever said is gone; their tokens work, as if they were made anew."""
    with closing(database.connect(path)) as connection, database.transaction(connection):
        tables = "batch_schema loss_total loss received lost batch epoch device_schema schema latest seen"
        for table in tables.split():
            connection.execute(f"DELETE FROM {table}")
        connection.execute("UPDATE device SET batches = 0, samples = 0")
        database.write_meta(connection, "checkpoint", 0)


async def test_a_restored_backup_asks_for_an_epoch_that_has_ended_since(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    old, new = Edge(), Edge(epoch="epoch-b", no=2, run="run-b")
    async with open_house() as house:
        await _deliver(house, old, 3)
    shutil.copytree(tmp_path / "data", tmp_path / "backup")
    async with open_house() as house:
        lost = await _deliver(house, old, 4)
        lost_too = await _deliver(house, new, 2)
    shutil.rmtree(tmp_path / "data")
    shutil.copytree(tmp_path / "backup", tmp_path / "data")
    async with open_house() as house:
        heads = [old.head(), new.head()]
        answer = await house.beat(new, heads=heads)
        assert answer["resend"] == [
            {"epoch": "epoch-a", "seqs": [[4, 7]]}, {"epoch": "epoch-b", "seqs": [[1, 2]]},
        ]  # fmt: skip
        gaps = (await house.stats())["gaps"]
        assert [(gap["epoch"], gap["from"], gap["to"]) for gap in gaps] == [
            ("epoch-a", 4, 7), ("epoch-b", 1, 2),
        ]  # fmt: skip
        await house.post(old, old.upload(*lost))
        await house.post(new, new.upload(*lost_too))
        assert (await house.beat(new, heads=heads))["resend"] == []
        stats = await house.stats()
        assert (stats["gaps"], stats["batches"], stats["duplicates"]) == ([], 9, 0)


async def test_a_wiped_centre_gets_all_that_is_retained_and_names_the_rest(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    old, new = Edge(), Edge(epoch="epoch-b", no=2)
    async with open_house() as house:
        retained = (await _deliver(house, old, 5))[2:]
    await asyncio.to_thread(_wipe, tmp_path / "data" / database.DATABASE_NAME)
    async with open_house() as house:
        heads = [old.head(), new.head()]
        answer = await house.beat(new, heads=heads)
        assert answer["resend"] == [{"epoch": "epoch-a", "seqs": [[1, 5]]}]
        await house.put_schema(old)
        await house.post(old, old.upload(*retained))
        assert (await house.beat(new, heads=heads))["resend"] == [{"epoch": "epoch-a", "seqs": [[1, 2]]}]
        forgotten = new.losing([(1, 2)], epoch="epoch-a", reason="centre_forgot")
        await house.post(new, new.upload(forgotten))
        assert (await house.beat(new, heads=heads))["resend"] == []
        stats = await house.stats()
        assert (stats["gaps"], stats["lost"], stats["lost_samples"]) == ([], 2, {"centre_forgot": 3})


async def test_what_is_gone_for_good_stays_a_gap_with_a_name(open_house: OpenHouse) -> None:
    async with open_house() as house:
        old, new = Edge(floor=6, next=6), Edge(epoch="epoch-b", no=2)
        assert (await house.beat(new, heads=[old.head(), new.head()]))["resend"]
        # Its batches were pruned: the agent names it no more.
        assert (await house.beat(new, heads=[new.head()]))["resend"] == []
        (gap,) = (await house.stats())["gaps"]
        assert (gap["epoch"], gap["from"], gap["to"], gap["name"]) == ("epoch-a", 1, 5, "below_floor")


async def test_an_answer_names_a_bounded_number_of_ranges(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edges = [Edge(epoch=f"epoch-{number}", no=number, floor=900, next=900) for number in (1, 2, 3)]
        await house.put_schema(edges[0])
        for edge in edges:
            await house.post(edge, edge.upload(*(edge.make(seq=seq) for seq in range(2, 900, 2))))
        answer = await house.beat(edges[-1], heads=[edge.head() for edge in edges])
        assert [len(entry["seqs"]) for entry in answer["resend"]] == [450, 450, 100]
