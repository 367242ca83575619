"""Configs on many devices: chosen by id or label, a result for each, and a restart in the middle."""

import asyncio
from typing import Any, cast

import orjson
import pytest

from central_sync.services.access.targets import TargetService
from central_sync.services.audit.entries import Actor
from central_sync.services.configs.checking import CHECKER_FAILED, CheckService
from central_sync.services.configs.jobs import MAX_FAILED, ConfigJobService
from central_sync.services.configs.service import Author
from central_sync.services.configs.work import Merge
from central_sync.services.errors import Busy
from central_sync.store.config_jobs import SqliteConfigJobs
from central_sync.store.configs import SqliteConfigs
from tests.unit.central.config_samples import connection, sections
from tests.unit.central.conftest import House, OpenHouse

APPLY = "/api/fleet/configs/apply"


async def start(house: House, **request: Any) -> Any:
    answer = await house.ask("POST", APPLY, "admin", orjson.dumps(request))
    assert answer.status == 202, answer.body
    return answer.json


async def finished(house: House, job: str) -> Any:
    async with asyncio.timeout(30):
        while True:
            found = await house.get(f"/api/fleet/configs/jobs/{job}")
            if found["finished"] is not None:
                return found
            await asyncio.sleep(0.01)


async def devices(house: House, job: str) -> Any:
    return (await house.get(f"/api/fleet/configs/jobs/{job}/devices"))["items"]


async def names(house: House, device: str) -> list[str]:
    found = await house.get(f"/api/fleet/edge/{device}/config")
    return [each["name"] for each in found["sections"]["connections"]]


async def test_one_content_goes_to_all_chosen_devices_with_a_result_for_each(open_house: OpenHouse) -> None:
    async with open_house() as house:
        given = {"connections": [connection()]}
        await house.ask("PUT", "/api/fleet/edge/dev-2/config", "admin", sections(connection()))
        job = await start(house, targets={"selector": "*"}, sections=given, note="all")
        done = await finished(house, job["id"])
        assert (done["total"], done["changed"], done["unchanged"], done["refused"]) == (2, 1, 1, 0)
        assert [
            (each["device_id"], each["state"], each["version"]) for each in await devices(house, job["id"])
        ] == [
            ("dev-1", "changed", 1),
            ("dev-2", "unchanged", None),
        ]
        (version,) = (await house.get("/api/fleet/devices/dev-1/config/versions"))["items"]
        assert (version["source"], version["note"]) == ("apply", "all")


async def test_connections_are_merged_by_name_and_patched_each_from_what_its_device_has(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        await house.ask("PUT", "/api/fleet/edge/dev-1/config", "admin", sections(connection("own")))
        job = await start(
            house, targets={"devices": ["dev-1", "dev-2"]}, mode="merge_connections",
            sections={"connections": [connection("shared")]},
        )  # fmt: skip
        await finished(house, job["id"])
        assert await names(house, "dev-1") == ["own", "shared"]
        assert await names(house, "dev-2") == ["shared"]
        patch = {"own": None, "shared": {"transport": {"timeout": "5s"}}}
        job = await start(house, targets={"selector": "*"}, patch=patch)
        done = await finished(house, job["id"])
        assert (done["changed"], done["refused"]) == (1, 1)
        refused = next(each for each in await devices(house, job["id"]) if each["state"] == "refused")
        assert (refused["device_id"], refused["code"]) == ("dev-2", "unknown_connection")
        found = await house.get("/api/fleet/edge/dev-1/config")
        assert found["sections"]["connections"][0]["transport"]["timeout"] == "5s"


async def test_what_agents_would_refuse_is_refused_a_device_and_changes_nothing(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        await house.ask("PUT", "/api/fleet/edge/dev-1/config", "admin", sections(connection()))
        patch = {"press1": {"transport": {"timeout": "5 parsecs"}}}
        job = await start(house, targets={"devices": ["dev-1"]}, patch=patch)
        await finished(house, job["id"])
        (result,) = await devices(house, job["id"])
        assert (result["state"], result["code"]) == ("refused", "bad_config")
        assert result["problems"][0]["path"] == "connections[press1].transport.timeout"
        assert len((await house.get("/api/fleet/devices/dev-1/config/versions"))["items"]) == 1
        bad = orjson.dumps({"targets": {"selector": "*"}, "sections": {"connections": [{"name": "x"}]}})
        at_once = await house.ask("POST", APPLY, "admin", bad)
        assert (at_once.status, at_once.json["code"]) == (400, "bad_config")


async def test_a_dry_run_of_a_job_judges_every_device_and_changes_none(open_house: OpenHouse) -> None:
    async with open_house() as house:
        job = await start(house, targets={"selector": "*"}, sections={"connections": []}, dry_run=True)
        done = await finished(house, job["id"])
        assert (done["changed"], done["dry_run"]) == (2, True)
        assert (await house.ask("GET", "/api/fleet/edge/dev-1/config", "viewer")).status == 404


async def test_a_job_goes_on_after_a_restart_and_gives_no_device_two_versions(open_house: OpenHouse) -> None:
    async with open_house() as house:
        job = await start(house, targets={"selector": "*"}, sections={"connections": [connection()]})
    async with open_house() as house:
        done = await finished(house, job["id"])
        assert (done["changed"], done["waiting"]) == (2, 0)
        for device in ("dev-1", "dev-2"):
            listed = (await house.get(f"/api/fleet/devices/{device}/config/versions"))["items"]
            assert [each["version"] for each in listed] == [1]


async def test_a_repeated_request_starts_no_second_job(open_house: OpenHouse) -> None:
    async with open_house() as house:
        body = orjson.dumps({"targets": {"selector": "*"}, "sections": {"connections": []}})
        first = await house.ask("POST", APPLY, "admin", body, Idempotency_Key="k")
        again = await house.ask("POST", APPLY, "admin", body, Idempotency_Key="k")
        assert first.json["id"] == again.json["id"]
        assert len((await house.get("/api/fleet/configs/jobs"))["items"]) == 1
        await finished(house, first.json["id"])


async def test_a_request_says_one_thing_to_do_and_devices_that_exist(open_house: OpenHouse) -> None:
    async with open_house() as house:
        for request, code in (
            ({"targets": {"selector": "*"}}, "bad_body"),
            ({"targets": {"selector": "*"}, "sections": {}, "patch": {}}, "bad_body"),
            ({"targets": {}, "sections": {}}, "no_targets"),
            ({"targets": {"devices": ["nobody"]}, "sections": {}}, "unknown_device"),
            ({"targets": {"selector": "*"}, "patch": {"a": 1}}, "bad_patch"),
        ):
            answer = await house.ask("POST", APPLY, "admin", orjson.dumps(request))
            assert answer.json["code"] == code, request


@pytest.mark.parametrize(
    "value",
    ["1" + "0" * 30, "1e999", "NaN", '{"a": 1, "a": 2}', '"\\ud800"', "[" * 80 + "]" * 80],
    ids=["beyond 64 bits", "too large", "no number", "given twice", "half a character", "without end"],
)
async def test_what_has_no_canonical_form_is_no_job_and_stops_none(open_house: OpenHouse, value: str) -> None:
    async with open_house() as house:
        await house.ask("PUT", "/api/fleet/edge/dev-1/config", "admin", sections(connection()))
        for what in (
            f'"patch": {{"press1": {{"x": {value}}}}}',
            f'"mode": "merge_connections", "sections": {{"x": {value}}}',
        ):
            bad = f'{{"targets": {{"devices": ["dev-1"]}}, {what}}}'.encode()
            assert (await house.ask("POST", APPLY, "admin", bad)).status == 400
        template = f'{{"name": "t", "groups": [{{"name": "g", "x": {value}}}]}}'.encode()
        assert (await house.ask("POST", "/api/fleet/tag-templates", "admin", template)).status == 400
        good = await start(
            house, targets={"devices": ["dev-1"]}, patch={"press1": {"transport": {"timeout": "5s"}}}
        )
        assert (await finished(house, good["id"]))["changed"] == 1


class Stuck:
    """A judge that comes to no verdict over some connections."""

    def __init__(self) -> None:
        self.asked = 0

    async def ask(self, request: bytes) -> dict[str, Any]:
        if b"endless" in request:
            self.asked += 1
            raise Busy(CHECKER_FAILED, "checking it took longer than 60 s")
        return {"valid": True, "problems": [], "warnings": [], "content": None}


async def test_a_config_that_no_check_gets_through_is_refused_and_holds_up_no_other_job(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house, asyncio.TaskGroup() as group:
        configs, judge = SqliteConfigs(house.centre.store), Stuck()
        jobs = ConfigJobService(
            SqliteConfigJobs(house.centre.store, configs), configs, CheckService(judge),
            cast(TargetService, None), house.clock,
        )  # fmt: skip
        author = Author("admin", Actor("token", "t", "admin", ""))
        started = [
            await jobs.start(
                Merge(sections={"connections": [connection(name)]}), {"dev-1": None}, author, "", False, None
            )
            for name in ("endless", "press1")
        ]
        worker = group.create_task(jobs.run())
        done = [await finished(house, job.id) for job in started]
        assert [(each["refused"], each["changed"]) for each in done] == [(1, 0), (0, 1)]
        (result,) = await devices(house, started[0].id)
        assert (result["code"], judge.asked) == (CHECKER_FAILED, MAX_FAILED)
        worker.cancel()
