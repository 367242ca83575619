"""Configs: canonical bytes, strong ETags, versions that only grow."""

import pytest

from central_sync.services.configs.service import INLINE_BYTES
from edge_agent.wire.messages import ConfigEnvelope
from tests.unit.central.config_samples import connection, sections
from tests.unit.central.conftest import OpenHouse

PATH = "/api/fleet/edge/dev-1/config"
ALIAS = "/api/fleet/v1/edges/dev-1/config"


async def test_no_config_is_a_404_with_a_code(open_house: OpenHouse) -> None:
    async with open_house() as house:
        for path in (PATH, ALIAS):
            answer = await house.ask("GET", path, "dev-1")
            assert (answer.status, answer.json["code"]) == (404, "no_config")


async def test_a_config_is_fetched_once_and_then_304(open_house: OpenHouse) -> None:
    async with open_house() as house:
        put = await house.ask("PUT", PATH, "admin", b'{ "connections": []}')
        assert (put.status, put.json["version"], put.json["created"]) == (201, 1, True)
        got = await house.ask("GET", PATH, "dev-1")
        assert got.body == b'{"sections":{"connections":[]},"version":1}'
        assert ConfigEnvelope.model_validate_json(got.body).version == 1
        etag = got.headers["ETag"]
        assert etag == put.headers["ETag"] == f'"{put.json["etag"]}"'
        alias = await house.ask("GET", ALIAS, "dev-1")
        assert (alias.body, alias.headers["ETag"]) == (got.body, etag)
        for path in (PATH, ALIAS):
            again = await house.ask("GET", path, "dev-1", If_None_Match=etag)
            assert (again.status, again.body, again.headers["ETag"]) == (304, b"", etag)
        other = await house.ask("GET", PATH, "dev-1", If_None_Match='"x"')
        assert other.status == 200


async def test_versions_grow_and_the_same_sections_make_none(open_house: OpenHouse) -> None:
    async with open_house() as house:
        first = await house.ask("PUT", PATH, "admin", sections(connection()))
        same = await house.ask("PUT", PATH, "admin", b" " + sections(connection()))
        assert (same.status, same.json["version"], same.json["created"]) == (200, 1, False)
        assert same.json["etag"] == first.json["etag"]
        second = await house.ask("PUT", PATH, "admin", sections())
        back = await house.ask("PUT", PATH, "admin", sections(connection()))
        assert (second.json["version"], back.json["version"]) == (2, 3)
        assert back.json["etag"] != first.json["etag"]
        assert back.json["author"].startswith("admin:")


async def test_a_stale_if_match_is_a_412(open_house: OpenHouse) -> None:
    async with open_house() as house:
        none = await house.ask("PUT", PATH, "admin", b"{}", If_Match="*")
        assert (none.status, none.json["code"]) == (412, "stale")
        first = await house.ask("PUT", PATH, "admin", b"{}", If_None_Match="*")
        assert first.status == 201
        again = await house.ask("PUT", PATH, "admin", sections(connection()), If_None_Match="*")
        assert again.status == 412
        etag = first.headers["ETag"]
        second = await house.ask("PUT", PATH, "admin", sections(connection()), If_Match=etag)
        assert second.status == 201
        stale = await house.ask("PUT", PATH, "admin", sections(), If_Match=etag)
        assert (stale.status, stale.json["etag"]) == (412, second.json["etag"])
        weak = await house.ask("PUT", PATH, "admin", sections(), If_Match=f"W/{second.headers['ETag']}")
        assert weak.status == 412
        junk = await house.ask("PUT", PATH, "admin", sections(), If_Match="junk")
        assert (junk.status, junk.json["code"]) == (400, "bad_etag")


async def test_a_config_is_an_object_for_a_known_device(open_house: OpenHouse) -> None:
    async with open_house() as house:
        for body in (b"[]", b"1", b"{"):
            answer = await house.ask("PUT", PATH, "admin", body)
            assert (answer.status, answer.json["code"]) == (400, "bad_config")
        unknown = await house.ask("PUT", "/api/fleet/edge/nobody/config", "admin", b"{}")
        assert (unknown.status, unknown.json["code"]) == (404, "unknown_device")
        bad = await house.ask("PUT", "/api/fleet/edge/No_Body/config", "admin", b"{}")
        assert (bad.status, bad.json["code"]) == (400, "bad_device_id")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"connections": [{"port": %d}]}' % 10**30, "connections[0].port: a whole number"),
        (b'{"hooks": {"a": 1e400}}', "hooks.a: a number that is too large"),
        (b'{"hooks": NaN}', "NaN"),
        (b'{"hooks": 1, "hooks": 2}', "'hooks' is given twice"),
        (b'{"hooks": "\\ud800"}', "hooks: a text with half a character"),
        (b'{"\\ud800": 1}', "half a character"),
        (b'{"hooks": ' + b"[" * 100 + b"]" * 100 + b"}", "nested deeper"),
        (b'{"hooks": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested deeper"),
        (b'{"hooks": %s}' % (b"9" * 5000), "not JSON"),
        (b'{"hooks": "\xff"}', "not JSON"),
        (b'{"hooks": ]', "line 1 column 11"),
        (b"[]", "must be a JSON object"),
    ],
)
async def test_what_has_no_canonical_form_is_refused_with_its_place(
    open_house: OpenHouse, body: bytes, says: str
) -> None:
    async with open_house() as house:
        refused = await house.ask("PUT", PATH, "admin", body)
        assert (refused.status, refused.json["code"]) == (400, "bad_config")
        assert says in refused.json["detail"]


async def test_a_large_config_is_taken_and_the_same_one_makes_no_version(open_house: OpenHouse) -> None:
    async with open_house() as house:
        body = sections(*(connection(f"p{number}", f"host-{number}", tags=100) for number in range(50)))
        assert len(body) > INLINE_BYTES
        first = await house.ask("PUT", PATH, "admin", body)
        assert (first.status, first.json["created"]) == (201, True)
        assert (await house.ask("PUT", PATH, "admin", body)).json["created"] is False
