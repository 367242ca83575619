"""pains.md, tb#1550, tb#1795: updates break or reset the config, or come unasked."""

import asyncio
from typing import Any

import pytest

from central_sync.services.configs.checking import CheckService
from central_sync.services.errors import Busy
from tests.unit.central.config_samples import connection, sections
from tests.unit.central.conftest import OpenHouse
from tests.unit.central.test_config_versions import DEVICE, PATH, put


async def test_tb_1550_every_change_of_a_config_can_be_taken_back_to_the_byte(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await put(house, connection(tags=20))
        before = (await house.ask("GET", PATH, "dev-1")).json["sections"]
        await put(house)
        await house.ask("POST", f"{DEVICE}/rollback/1", "admin")
        assert (await house.ask("GET", PATH, "dev-1")).json["sections"] == before


async def test_tb_1795_a_restart_of_the_centre_changes_no_config(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await put(house, connection())
        first = await house.ask("GET", PATH, "dev-1")
    async with open_house() as house:
        again = await house.ask("GET", PATH, "dev-1", If_None_Match=first.headers["ETag"])
        assert again.status == 304
        assert len((await house.get(f"{DEVICE}/versions"))["items"]) == 1


async def test_of_two_who_edit_at_once_one_is_told_that_he_was_late(open_house: OpenHouse) -> None:
    async with open_house() as house:
        etag = (await house.ask("PUT", PATH, "admin", sections())).headers["ETag"]
        answers = await asyncio.gather(
            *(
                house.ask("PUT", PATH, "admin", sections(connection(name)), If_Match=etag)
                for name in ("one", "other")
            )
        )
        assert sorted(answer.status for answer in answers) == [201, 412]


class Judge:
    """Takes everything, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def ask(self, request: bytes) -> dict[str, Any]:
        self.asked += 1
        await asyncio.sleep(0)
        return {"problems": [], "warnings": [], "content": None}


async def test_one_content_for_many_devices_is_judged_once() -> None:
    judge = Judge()
    checks = CheckService(judge)
    found = await asyncio.gather(*(checks.require(sections(connection())) for _ in range(1_000)))
    assert (judge.asked, {each.valid for each in found}) == (1, {True})
    await checks.require(sections(connection()))
    await checks.require(sections())
    assert judge.asked == 2


async def test_whoever_cannot_be_asked_has_said_nothing() -> None:
    class Gone(Judge):
        async def ask(self, request: bytes) -> dict[str, Any]:
            self.asked += 1
            raise Busy("no_checker", "nobody there")

    judge = Gone()
    checks = CheckService(judge)
    for asked in (1, 2):
        with pytest.raises(Busy):
            await checks.require(sections())
        assert judge.asked == asked
