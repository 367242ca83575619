"""Whoever is limited to some devices neither sees nor changes the configs of others."""

import orjson

from tests.unit.central.config_samples import connection, sections
from tests.unit.central.conftest import OpenHouse
from tests.unit.central.test_central_api_tokens import made_token
from tests.unit.central.test_config_jobs import APPLY, finished, start


async def test_jobs_mappings_and_configs_of_foreign_devices_do_not_exist(open_house: OpenHouse) -> None:
    async with open_house() as house:
        patch = orjson.dumps({"labels": {"site": "north"}})
        assert (await house.ask("PATCH", "/api/fleet/devices/dev-1", "admin", patch)).status == 200
        house.tokens["limited"] = await made_token(house, role="engineer", labels={"site": "north"})
        job = await start(house, targets={"selector": "*"}, sections={"connections": [connection()]})
        await finished(house, job["id"])
        seen = await house.get(f"/api/fleet/configs/jobs/{job['id']}/devices", "limited")
        assert [each["device_id"] for each in seen["items"]] == ["dev-1"]
        assert (await house.get(f"/api/fleet/configs/jobs/{job['id']}", "limited"))["total"] == 1
        foreign = await start(house, targets={"devices": ["dev-2"]}, patch={"press1": {"enabled": False}})
        await finished(house, foreign["id"])
        path = f"/api/fleet/configs/jobs/{foreign['id']}"
        assert (await house.ask("GET", path, "limited")).status == 404
        assert len((await house.get("/api/fleet/configs/jobs", "limited"))["items"]) == 1
        body = orjson.dumps({"targets": {"devices": ["dev-2"]}, "sections": {}})
        assert (await house.ask("POST", APPLY, "limited", body)).status == 404
        everybody = orjson.dumps({"targets": {"selector": "*"}, "sections": {"connections": []}})
        own = await house.ask("POST", APPLY, "limited", everybody)
        assert own.json["total"] == 1
        await finished(house, own.json["id"])
        for method, tail in (("GET", "versions"), ("GET", "state"), ("POST", "rollback/1")):
            answer = await house.ask(method, f"/api/fleet/devices/dev-2/config/{tail}", "limited")
            assert answer.status == 404, tail
        assert (await house.ask("PUT", "/api/fleet/edge/dev-2/config", "limited", sections())).status == 404
        mapping = {"v1_name": "a", "device": "dev-2", "connection": "press1", "tag": "t0"}
        one = await house.ask("POST", "/api/fleet/v1-mappings", "admin", orjson.dumps(mapping))
        assert (await house.get("/api/fleet/v1-mappings", "limited"))["items"] == []
        path = f"/api/fleet/v1-mappings/{one.json['id']}"
        assert (await house.ask("DELETE", path, "limited")).status == 404
        assert (await house.ask("PUT", path, "limited", orjson.dumps(mapping))).status == 404
        moved = orjson.dumps({**mapping, "v1_name": "b"})
        assert (await house.ask("POST", "/api/fleet/v1-mappings", "limited", moved)).status == 404
        exported = await house.ask("GET", "/api/fleet/v1-mappings/export", "limited")
        assert exported.body.decode().splitlines() == ["v1_name,device,connection,tag,note"]
