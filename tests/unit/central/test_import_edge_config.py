"""A local file becomes what the centre wants: with its tag lists, without its secrets."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from central_sync.cli.commands import run_command
from tests.unit.central.conftest import OpenHouse

FILE = """
agent: {id: dev-1}
central: {url: "https://central.example.com", token: !secret central-token}
remote: {manage: [connections]}
connections:
  - name: press1
    driver: modbus
    transport: {type: tcp, host: !secret plc-host}
    groups:
      - name: fast
        interval: 1s
        tags: [{include: tags.csv}, {name: "zone[1..4]", address: "holding:10..13"}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "tags.csv").write_text("name,address,type\noil,holding:1,uint16\n")
    path = tmp_path / "edge-agent.yaml"
    path.write_text(FILE)
    return path


async def imported(*arguments: object) -> int:
    words: Sequence[str] = ["import-edge-config", *map(str, arguments)]
    return await asyncio.to_thread(run_command, words)


async def test_a_dry_run_shows_the_sections_and_changes_nothing(
    open_house: OpenHouse, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with open_house() as house:
        assert await imported(file, "--device", "dev-1", "--dry-run", "--json", "--data", house.data) == 0
        out = capfd.readouterr()
        (press,) = orjson.loads(out.out.splitlines()[-1])["connections"]
        assert press["transport"]["host"] == {"secret": "plc-host"}
        assert [tag["name"] for tag in press["groups"][0]["tags"]] == ["oil", "zone[1..4]"]
        assert "its secrets: map must have 'plc-host: !secret plc-host'" in out.err
        assert (await house.ask("GET", "/api/fleet/edge/dev-1/config", "viewer")).status == 404


async def test_a_running_centre_takes_it_through_its_api_and_lets_nobody_else_write(
    open_house: OpenHouse, file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with open_house() as house:
        assert await imported(file, "--device", "dev-1", "--data", house.data) == 3
        assert "give --url and --token-file" in capfd.readouterr().err
        token = tmp_path / "token"
        token.write_text(house.tokens["admin"])
        words = (file, "--device", "dev-1", "--url", house.centre.url, "--token-file", token)
        assert await imported(*words) == 0
        (version,) = (await house.get("/api/fleet/devices/dev-1/config/versions"))["items"]
        assert version["note"] == "imported from edge-agent.yaml"
        assert await imported(file, "--device", "nobody", *words[3:]) == 2


async def test_a_stopped_centres_database_takes_it_with_an_entry_in_the_trail(
    open_house: OpenHouse, file: Path
) -> None:
    async with open_house() as house:
        data = house.data
    assert await imported(file, "--device", "dev-1", "--data", data, "--note", "moved") == 0
    async with open_house() as house:
        (version,) = (await house.get("/api/fleet/devices/dev-1/config/versions"))["items"]
        assert (version["source"], version["note"]) == ("import", "moved")
        actions = [each["action"] for each in (await house.get("/api/fleet/audit-logs", "admin"))["items"]]
        assert "config.import" in actions


async def test_a_file_that_no_agent_takes_is_refused_with_its_places(
    open_house: OpenHouse, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file.write_text(FILE.replace("1s", "${SPEED}"))
    async with open_house() as house:
        assert await imported(file, "--device", "dev-1", "--data", house.data) == 2
        assert f"{file}:11:" in capfd.readouterr().err
