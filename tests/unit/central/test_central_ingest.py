"""Uploads through the front door: acknowledged after the commit, stored once, refused with a reason."""

import asyncio

from edge_agent.wire.batch import FramesPart
from edge_agent.wire.upload import BatchItem
from tests.unit.central.conftest import UPLOAD_TYPE, OpenHouse
from tests.unit.central.edge import Edge, frame, uint16_schema


async def test_a_batch_with_an_unknown_schema_is_asked_for_and_then_taken(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        body = edge.upload(edge.make())
        first = await house.post(edge, body)
        assert first.status == 200
        assert (first.json["acked"], first.json["need_schemas"]) == ([], [edge.schema.hash])
        assert (await house.stats())["batches"] == 0
        assert (await house.put_schema(edge)).status == 201
        assert (await house.put_schema(edge)).status == 204
        second = await house.post(edge, body)
        assert (second.json["acked"], second.json["need_schemas"]) == ([[1, 1]], [])
        assert second.json["centre"] == house.centre.centre
        assert second.json["epoch"] == "epoch-a"


async def test_a_repeat_is_acknowledged_again_and_counted(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        items = [edge.make() for _ in range(3)]
        assert (await house.post(edge, edge.upload(*items))).json["acked"] == [[1, 3]]
        again = await house.post(edge, edge.upload(items[2], items[0]))
        assert again.json["acked"] == [[1, 1], [3, 3]]
        stats = await house.stats()
        assert (stats["batches"], stats["samples"], stats["redelivered"]) == (3, 9, 2)
        assert (stats["duplicates"], stats["gaps"], stats["lost"]) == (0, [], 0)


async def test_a_name_with_other_content_is_a_conflict_and_nothing_of_it_is_stored(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        await house.post(edge, edge.upload(edge.make()))
        other = edge.make(values=(7, 7, 7), seq=1)
        await house.post(edge, edge.upload(edge.make(), edge.make()))
        another = edge.make(values=(8, 8, 8), seq=3)
        answer = await house.post(edge, edge.upload(edge.make(), another, other))
        assert (answer.status, answer.json["code"], answer.json["seq"]) == (409, "seq_conflict", 1)
        assert (answer.json["epoch"], answer.json["conflicts"]) == (edge.epoch, [[1, 1], [3, 3]])
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert (await house.stats())["batches"] == 3
        events = await house.get("/api/fleet/devices/dev-1/events")
        assert [event["code"] for event in events["items"]] == ["seq_conflict"]


async def test_what_is_wrong_with_one_batch_costs_no_other(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        good, damaged, unopenable = edge.make(), edge.make(), edge.make()
        damaged = _with(damaged, body=bytes(damaged.body)[:-1] + b"?")
        unopenable = _with(unopenable, codec=77)
        answer = await house.post(edge, edge.upload(good, damaged, unopenable))
        assert answer.json["acked"] == [[1, 1]]
        codes = {entry["seq"]: entry["code"] for entry in answer.json["rejected"]}
        assert codes == {2: "hash_mismatch", 3: "unknown_codec"}


async def test_a_batch_that_unpacks_to_more_than_it_says_is_refused(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        item = edge.make()
        answer = await house.post(edge, edge.upload(_with(item, raw_bytes=item.raw_bytes - 1)))
        assert [entry["code"] for entry in answer.json["rejected"]] == ["too_large"]
        huge = await house.post(edge, edge.upload(_with(item, raw_bytes=1 << 31)))
        assert [entry["code"] for entry in huge.json["rejected"]] == ["too_large"]


async def test_batches_beyond_what_is_unpacked_at_once_are_left_for_the_next_upload(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        edge = Edge(schema=uint16_schema(tags=15_000))
        assert (await house.put_schema(edge)).status == 201
        frames = [frame(n, [0] * 15_000) for n in range(1, 101)]
        items = [edge.seal([FramesPart(edge.schema, frames)]) for _ in range(15)]
        answer = await house.post(edge, edge.upload(*items))
        assert answer.json["acked"] == [[1, 11]]
        assert answer.json["rejected"] == []


async def test_what_is_no_upload_is_a_400_with_a_problem_document(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        whole = edge.upload(edge.make())
        for body in (b"", b"junk", whole[:-1], edge.upload(head=edge.head())):
            answer = await house.post(edge, body)
            assert (answer.status, answer.json["code"]) == (400, "bad_upload"), body[:20]


async def test_bodies_are_bounded_and_come_as_they_are(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        path = "/api/fleet/edge/dev-1/data"
        large = await house.post(edge, bytes((1 << 20) + 1))
        assert (large.status, large.json["code"], large.json["max"]) == (413, "too_large", 1 << 20)
        packed = await house.ask(
            "POST", path, "dev-1", b"x", Content_Type=UPLOAD_TYPE, Content_Encoding="gzip"
        )
        assert (packed.status, packed.json["code"]) == (415, "content_encoding")
        json = await house.ask("POST", path, "dev-1", b"{}")
        assert (json.status, json.json["code"]) == (415, "content_type")


async def test_a_body_without_a_length_is_bounded_too(open_house: OpenHouse) -> None:
    async with open_house() as house:

        async def endless() -> object:
            for _ in range(40):
                yield bytes(64 << 10)

        headers = {"Authorization": f"Bearer {house.tokens['dev-1']}", "Content-Type": UPLOAD_TYPE}
        url = f"{house.centre.url}/api/fleet/edge/dev-1/data"
        async with house.session.post(url, data=endless(), headers=headers) as response:
            assert response.status == 413


async def test_a_schema_must_be_what_its_name_says(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        path = f"/api/fleet/edge/dev-1/schemas/{edge.schema.hash}"
        other = uint16_schema(group="slow").canonical
        wrong = await house.ask("PUT", path, "dev-1", other)
        assert (wrong.status, wrong.json["code"]) == (400, "hash_mismatch")
        junk = await house.ask("PUT", path, "dev-1", b"{}")
        assert (junk.status, junk.json["code"]) == (400, "bad_schema")


async def test_a_hundred_uploads_at_once_are_all_taken(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        bodies = [edge.upload(edge.make()) for _ in range(100)]
        answers = await asyncio.gather(*(house.post(edge, body) for body in reversed(bodies)))
        assert {answer.status for answer in answers} == {200}
        stats = await house.stats()
        assert (stats["batches"], stats["pending"], stats["gaps"]) == (100, 0, [])
        assert stats["complete_through"] == [{"epoch": "epoch-a", "seq": 100}]


async def test_what_is_missing_below_the_floor_is_asked_for_until_it_comes(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        items = [edge.make() for _ in range(6)]
        edge.floor = 6
        answer = await house.post(edge, edge.upload(items[1], items[5]))
        assert answer.json["resend"] == [[1, 1], [3, 5]]
        stats = await house.stats()
        assert [(gap["from"], gap["to"]) for gap in stats["gaps"]] == [(1, 1), (3, 5)]
        assert (await house.post(edge, edge.upload(*items))).json["resend"] == []
        assert (await house.stats())["gaps"] == []


async def test_a_loss_settles_what_is_missing_and_is_void_for_what_came(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        items = [edge.make() for _ in range(4)]
        edge.floor = 5
        loss = edge.losing([(1, 3)])
        answer = await house.post(edge, edge.upload(items[3], loss))
        assert answer.json["resend"] == []
        stats = await house.stats()
        assert (stats["lost"], stats["lost_samples"], stats["gaps"]) == (3, {"quota": 3}, [])
        await house.post(edge, edge.upload(*items[:3]))
        stats = await house.stats()
        assert (stats["lost"], stats["lost_samples"], stats["batches"]) == (0, {}, 5)


async def test_a_loss_that_is_told_twice_counts_once(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge(next=4)
        await house.post(edge, edge.upload(edge.losing([(1, 3)]), edge.losing([(1, 3)])))
        stats = await house.stats()
        assert (stats["lost"], stats["lost_samples"]) == (3, {"quota": 3})


async def test_a_loss_with_a_reason_of_a_newer_agent_counts(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge(next=4)
        answer = await house.post(edge, edge.upload(edge.losing([(1, 3)], reason="eaten")))
        assert answer.json["acked"] == [[4, 4]]
        assert (await house.stats())["lost_samples"] == {"eaten": 3}


async def test_a_loss_of_an_older_epoch_is_that_epochs(open_house: OpenHouse) -> None:
    async with open_house() as house:
        old = Edge(next=9)
        await house.beat(old)
        new = Edge(epoch="epoch-b", no=2)
        await house.post(new, new.upload(new.losing([(1, 8)], epoch="epoch-a")))
        await house.beat(new)
        stats = await house.stats()
        assert (stats["lost"], stats["pending"], stats["gaps"]) == (8, 0, [])


async def test_a_loss_of_another_sink_is_not_the_centres(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge(next=4)
        await house.post(edge, edge.upload(edge.losing([(1, 3)], sink="mqtt")))
        stats = await house.stats()
        assert (stats["lost"], stats["lost_samples"], stats["pending"]) == (0, {}, 3)


async def test_an_epoch_that_ends_incomplete_has_a_tail(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        items = [edge.make() for _ in range(5)]
        await house.post(edge, edge.upload(*items[:3]))
        assert (await house.stats())["pending"] == 2
        await house.beat(Edge(epoch="epoch-b", no=2))
        stats = await house.stats()
        gap = {"epoch": "epoch-a", "from": 4, "to": 5, "name": "tail"}
        assert (stats["gaps"], stats["pending"]) == ([gap], 0)
        codes = [e["code"] for e in (await house.get("/api/fleet/devices/dev-1/events"))["items"]]
        assert "epoch_incomplete" in codes
        late = await house.post(edge, edge.upload(*items[3:]))
        assert late.json["acked"] == [[4, 5]]
        assert (await house.stats())["gaps"] == []


async def test_an_older_head_says_nothing(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        early = edge.upload(edge.make(), head=edge.head(next=2, floor=1))
        edge.next, edge.floor = 10, 1
        await house.beat(edge)
        await house.post(edge, early)
        assert (await house.stats())["pending"] == 8


def _with(item: BatchItem, **changes: object) -> BatchItem:
    fields = {name: getattr(item, name) for name in BatchItem.__slots__}
    return BatchItem(**{**fields, **changes})
