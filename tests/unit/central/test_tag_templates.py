"""Tag templates and their use, tag lists, and the names of an older system."""

from typing import Any

import orjson

from tests.unit.central.config_samples import connection, sections
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.hands import give_token
from tests.unit.central.test_config_jobs import devices, finished

PATH = "/api/fleet/tag-templates"
TEMPLATE = {
    "name": "press",
    "company": "acme",
    "protocol": "modbus",
    "parameters": {"n": {"type": "integer"}, "base": {"type": "integer", "default": 100}},
    "groups": [
        {
            "name": "oil",
            "interval": "2s",
            "tags": [{"name": "press{n}_temp", "address": "holding:{base+10}", "type": "float32"}],
        }
    ],
}


async def made(house: House, **changes: Any) -> Any:
    answer = await house.ask("POST", PATH, "admin", orjson.dumps({**TEMPLATE, **changes}))
    assert answer.status == 201, answer.body
    return answer.json


async def with_press(house: House, device: str = "dev-1", name: str = "press1") -> None:
    path = f"/api/fleet/edge/{device}/config"
    assert (await house.ask("PUT", path, "admin", sections(connection(name)))).status == 201


async def groups(house: House, device: str = "dev-1") -> Any:
    found = await house.get(f"/api/fleet/edge/{device}/config")
    return {each["name"]: each for each in found["sections"]["connections"][0]["groups"]}


async def test_templates_are_made_listed_changed_and_deleted(open_house: OpenHouse) -> None:
    async with open_house() as house:
        one = await made(house)
        other = await made(house, name="oven", company="zeta")
        assert [each["id"] for each in (await house.get(f"{PATH}?company=acme"))["items"]] == [one["id"]]
        taken = await house.ask("POST", PATH, "admin", orjson.dumps(TEMPLATE))
        assert (taken.status, taken.json["code"]) == (409, "name_taken")
        path = f"{PATH}/{one['id']}"
        body = orjson.dumps({**TEMPLATE, "company": "new"})
        changed = await house.ask("PUT", path, "admin", body, If_Match=f'"{one["etag"]}"')
        assert (changed.status, changed.json["version"]) == (200, 2)
        assert (await house.ask("PUT", path, "admin", body, If_Match=f'"{one["etag"]}"')).status == 412
        assert (await house.ask("DELETE", f"{PATH}/{other['id']}", "admin")).status == 204
        assert (await house.ask("GET", f"{PATH}/{other['id']}", "viewer")).status == 404


async def test_who_sees_some_devices_alone_changes_no_template_of_all(open_house: OpenHouse) -> None:
    async with open_house() as house:
        path = f"{PATH}/{(await made(house))['id']}"
        await give_token(house, "north", "engineer", site="north")
        refused = await house.ask("PUT", path, "north", orjson.dumps(TEMPLATE))
        assert (refused.status, refused.json["code"]) == (403, "limited")
        assert (await house.ask("DELETE", path, "north")).status == 403
        assert (await house.ask("GET", path, "north")).status == 200


async def test_a_template_may_use_its_own_parameters_alone(open_house: OpenHouse) -> None:
    async with open_house() as house:
        body = orjson.dumps({**TEMPLATE, "parameters": {}})
        refused = await house.ask("POST", PATH, "admin", body)
        assert (refused.status, refused.json["code"]) == (400, "bad_template")
        wrong = {**TEMPLATE, "parameters": {"n": {"type": "integer", "default": "x"}, "base": {}}}
        assert (await house.ask("POST", PATH, "admin", orjson.dumps(wrong))).json["code"] == "bad_template"


async def test_a_template_puts_its_groups_on_a_connection_with_its_values(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await with_press(house)
        path = f"{PATH}/{(await made(house))['id']}/apply/dev-1:press1"
        missing = await house.ask("POST", path, "admin", b"{}")
        assert (missing.status, missing.json["code"]) == (400, "bad_parameters")
        done = await house.ask("POST", path, "admin", b'{"parameters": {"n": 3}}')
        assert (done.status, done.json["version"]) == (201, 2)
        found = await groups(house)
        assert set(found) == {"fast", "oil"}
        assert found["oil"]["tags"] == [{"address": "holding:110", "name": "press3_temp", "type": "float32"}]
        again = await house.ask("POST", path, "admin", b'{"parameters": {"n": 3}}')
        assert (again.status, again.json["created"]) == (200, False)
        for where, code in (
            ("dev-1:other", "unknown_connection"),
            ("dev-2:press1", "no_config"),
            ("nobody:press1", "unknown_device"),
            ("press1", "bad_connection"),
        ):
            path = path.rsplit("/", 1)[0] + f"/{where}"
            assert (await house.ask("POST", path, "admin", b'{"parameters": {"n": 3}}')).json["code"] == code


async def test_a_table_gives_each_connection_its_own_values(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await with_press(house)
        await with_press(house, "dev-2")
        path = f"{PATH}/{(await made(house))['id']}/apply"
        table = "connection,n\ndev-1:press1,1\ndev-2:press1,two\n"
        answer = await house.ask("POST", path, "admin", orjson.dumps({"csv": table}))
        assert answer.status == 202, answer.body
        await finished(house, answer.json["id"])
        results = {each["device_id"]: each for each in await devices(house, answer.json["id"])}
        assert (results["dev-1"]["state"], results["dev-2"]["code"]) == ("changed", "bad_parameters")
        assert (await groups(house))["oil"]["tags"][0]["name"] == "press1_temp"
        for bad, code in ((b'{"csv": "n\\n1"}', "bad_csv"), (b"{}", "bad_body")):
            assert (await house.ask("POST", path, "admin", bad)).json["code"] == code


async def test_a_template_goes_to_all_matching_connections_of_chosen_devices(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await with_press(house)
        await with_press(house, "dev-2", "oven1")
        request = {
            "targets": {"selector": "*"},
            "template": {
                "template": (await made(house))["id"],
                "connections": "press*",
                "parameters": {"n": 7},
            },
        }
        answer = await house.ask("POST", "/api/fleet/configs/apply", "admin", orjson.dumps(request))
        await finished(house, answer.json["id"])
        results = {each["device_id"]: each for each in await devices(house, answer.json["id"])}
        assert (results["dev-1"]["state"], results["dev-2"]["code"]) == ("changed", "unknown_connection")


async def test_a_tag_list_is_read_as_agents_read_it_and_goes_into_a_group(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await with_press(house)
        path = "/api/fleet/devices/dev-1/connections/press1/tags/import"
        table = "이름,주소,형식,단위\n온도,holding:40,float,°C\n".encode("cp949", "replace")
        new = await house.ask("POST", f"{path}?group=slow", "admin", table, Content_Type="text/csv")
        assert (new.status, new.json["code"]) == (400, "unknown_group")
        query = "?group=slow&interval=10s"
        dry = await house.ask("POST", f"{path}{query}&dry_run=true", "admin", table, Content_Type="text/csv")
        assert (dry.status, dry.json["version"]) == (200, 1)
        done = await house.ask("POST", path + query, "admin", table, Content_Type="text/csv")
        assert (done.status, done.json["version"]) == (201, 2)
        (tag,) = (await groups(house))["slow"]["tags"]
        assert (tag["name"], tag["type"]) == ("온도", "float32")
        bad = b"name,address,scale\na,holding:1,x\n"
        refused = await house.ask("POST", path + query, "admin", bad, Content_Type="text/csv")
        assert refused.status == 400, refused.body
        assert refused.json["problems"]


async def test_names_of_an_older_system_lead_to_tags_and_their_values(open_house: OpenHouse) -> None:
    async with open_house() as house:
        path = "/api/fleet/v1-mappings"
        body = {"v1_name": "=PLC1.D100", "device": "dev-1", "connection": "press1", "tag": "oil_temp"}
        made = await house.ask("POST", path, "admin", orjson.dumps(body))
        assert made.status == 201, made.body
        assert (await house.ask("POST", path, "admin", orjson.dumps(body))).json["code"] == "name_taken"
        stranger = orjson.dumps({**body, "v1_name": "x", "device": "nobody"})
        assert (await house.ask("POST", path, "admin", stranger)).json["code"] == "unknown_device"
        listed = await house.get(f"{path}?resolve=true")
        assert [(each["v1_name"], each["latest"]) for each in listed["items"]] == [("=PLC1.D100", None)]
        table = (await house.ask("GET", f"{path}/export", "viewer")).body.decode()
        assert table.splitlines()[1] == "'=PLC1.D100,dev-1,press1,oil_temp,"
        one = f"{path}/{made.json['id']}"
        changed = await house.ask("PUT", one, "admin", orjson.dumps({**body, "tag": "other"}))
        assert changed.json["tag"] == "other"
        assert (await house.ask("DELETE", one, "admin")).status == 204
        assert (await house.ask("DELETE", one, "admin")).status == 404
