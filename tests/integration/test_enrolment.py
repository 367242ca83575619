"""Enrolment end to end: a centre with TLS of its own authority, a PLC, an agent, and a token between them."""

import asyncio
import contextlib
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from edge_agent.contracts.errors import NotConnected
from edge_agent.contracts.status import AgentStatus
from edge_agent.demo.children import Child, output_of
from edge_agent.web.client import LocalClient
from tests.crash.rig import free_port

# A credential lives a minute in one of them.
pytestmark = pytest.mark.timeout(400)
DEVICE = "press-1"


def make_authority(directory: Path) -> None:
    """ca.pem, and chain.pem and key.pem of a centre at 127.0.0.1."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca-key.pem", "-out", "ca.pem",
        "-days", "2", "-subj", "/CN=Plant authority",
    )  # fmt: skip
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "csr.pem", "-subj", "/CN=c")
    (directory / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl(
        "x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial",
        "-days", "2", "-extfile", "names", "-out", "cert.pem",
    )  # fmt: skip
    chain = (directory / "cert.pem").read_text() + (directory / "ca.pem").read_text()
    (directory / "chain.pem").write_text(chain)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        await asyncio.sleep(0.1)


@dataclass
class Plant:
    directory: Path
    url: str
    centre: Child
    agent: Child
    session: aiohttp.ClientSession
    admin: str
    runtime: Path

    @property
    def config(self) -> Path:
        return self.directory / "edge-agent.yaml"

    @property
    def settings(self) -> Path:
        return self.directory / "central.yaml"

    async def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        headers = {"Authorization": f"Bearer {token or self.admin}"}
        async with self.session.request(
            method, f"{self.url}/api/fleet{path}", headers=headers, json=body
        ) as response:
            return response.status, await response.json(content_type=None)

    async def samples(self) -> int:
        status, answer = await self.ask("GET", f"/data/stats?device={DEVICE}")
        return int(answer["devices"][0]["samples"]) if status == 200 and answer["devices"] else 0

    async def grows(self) -> bool:
        before = await self.samples()
        await until(lambda: self.more_than(before), 60, "new samples at the centre")
        return True

    async def more_than(self, count: int) -> bool:
        return await self.samples() > count

    async def status(self) -> AgentStatus | None:
        try:
            return await asyncio.to_thread(LocalClient(self.runtime / "agent.sock").status)
        except NotConnected:
            return None

    async def enrol_token(self, *arguments: str) -> str:
        return await output_of(
            "central_sync", "enrol-token", "create", "-c", str(self.settings), "--url", self.url, *arguments
        )

    async def enroll(self, *arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge_agent", "enroll", "-c", str(self.config), *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode()

    @property
    def kept(self) -> Any:
        return orjson.loads((self.directory / "credentials.json").read_bytes())


@asynccontextmanager
async def plant(directory: Path, enrolment: str = "") -> AsyncIterator[Plant]:
    """A centre that answers, a PLC, and the config of an agent that knows no centre."""
    await asyncio.to_thread(make_authority, directory)
    port = free_port()
    (directory / "central.yaml").write_text(
        f"data: data\nlisten: 127.0.0.1:{port}\ntls: {{cert: chain.pem, key: key.pem}}\n"
        f"heartbeat_interval: 1s\n{enrolment}"
    )
    settings = str(directory / "central.yaml")
    admin = await output_of("central_sync", "token", "create", "-c", settings, "--role", "admin")
    centre = Child("centre", ["central_sync", "run", "-c", settings, "--json"], directory / "centre.log")
    plc = Child("plc", ["edge_agent", "simulate", "modbus", "--json"], directory / "plc.log")
    agent = Child(
        "agent", ["edge_agent", "run", "-c", str(directory / "edge-agent.yaml")], directory / "agent.log"
    )
    trust = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    connector = aiohttp.TCPConnector(ssl=trust)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as runtime:
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            contextlib.AsyncExitStack() as stack,
        ):
            for child in (agent, plc, centre):
                stack.push_async_callback(child.stop)
            await centre.start()
            await centre.ready()
            await plc.start()
            [plc_port] = (await plc.ready())["ports"]
            (directory / "edge-agent.yaml").write_text(
                "# The press in hall 2.\n"
                f"agent: {{id: {DEVICE}, runtime_dir: {runtime}, page_listen: null}}\n"
                "buffer: {flush_interval: 200ms}\nconnections:\n  - name: plc\n    driver: modbus\n"
                f"    transport: {{host: 127.0.0.1, port: {plc_port}}}\n    groups:\n      - name: g\n"
                "        interval: 200ms\n        tags:\n"
                "          - {name: t, address: 'holding:0', type: uint16}\n"
            )
            url = f"https://127.0.0.1:{port}"
            yield Plant(directory, url, centre, agent, session, admin, Path(runtime))


async def test_a_device_enrols_renews_is_revoked_and_comes_back_without_a_loss(tmp_path: Path) -> None:
    """With credentials of a minute: enrolled by a token, renewed while it runs, revoked, enrolled again."""
    async with plant(tmp_path, "enrolment: {credential_life: 60s}\n") as house:
        token = await house.enrol_token("--device", DEVICE, "--label", "site=north")
        code, said = await house.enroll("--token", token)
        assert code == 0, said
        assert "restart an agent that runs" in said
        assert "enrolled as press-1" in said
        text = house.config.read_text()
        assert text.startswith("# The press in hall 2.")
        assert f"url: {house.url}" in text
        assert "ca_file: centre-ca.pem" in text
        assert (tmp_path / "credentials.json").stat().st_mode & 0o777 == 0o600
        first = house.kept["current"]["id"]

        await house.agent.start()
        await house.grows()
        _, device = await house.ask("GET", f"/devices/{DEVICE}")
        assert device["device_id"] == DEVICE

        async def renewed() -> bool:
            return house.kept["current"]["id"] != first and house.kept["next"] is None

        await until(renewed, 120, "a renewed credential in use")
        assert await house.grows()
        _, listed = await house.ask("GET", f"/devices/{DEVICE}/credentials")
        assert {item["id"]: item["state"] for item in listed["items"]}[first] == "revoked"

        kept = (tmp_path / "credentials.json").read_bytes()
        status, revoked = await house.ask("DELETE", f"/devices/{DEVICE}/credentials")
        assert (status, len(revoked["revoked"])) == (200, 1)
        bearer = f"hf_{house.kept['current']['id']}_{house.kept['current']['secret']}"
        assert (await house.ask("GET", f"/edge/{DEVICE}/config", token=bearer))[0] == 401

        async def refused() -> bool:
            found = await house.status()
            return found is not None and found.sinks[0].state == "refused"

        await until(refused, 60, "the agent says that it is refused")
        found = await house.status()
        assert found is not None
        assert "the centre does not accept this device's credential since" in found.sinks[0].detail
        assert orjson.loads(kept)["current"] == house.kept["current"], "a 401 deletes nothing"
        stored, before = found.stored_samples, await house.samples()

        async def polls_on() -> bool:
            now = await house.status()
            return now is not None and now.stored_samples > stored + 20

        await until(polls_on, 30, "polling and buffering while refused")
        assert await house.samples() == before

        token = await house.enrol_token("--device", DEVICE)
        code, said = await house.enroll("--again", "--token", token)
        assert code == 0, said
        assert "takes it up by itself" in said
        await until(lambda: house.more_than(before + 20), 60, "what was buffered, after enrolling again")
        _, stats = await house.ask("GET", f"/data/stats?device={DEVICE}")
        assert not stats["devices"][0]["gaps"]
        assert stats["devices"][0]["lost"] in ({}, [], 0)


async def test_a_device_without_a_token_waits_for_an_operator(tmp_path: Path) -> None:
    async with plant(tmp_path, "enrolment: {pending: true}\n") as house:
        ca = ["--ca-file", str(tmp_path / "ca.pem")]
        code, said = await house.enroll(house.url, *ca, "--wait", "0")
        assert code == 3, said
        assert "central-sync device accept" in said

        _, waiting = await house.ask("GET", "/provision/pending")
        [request] = [item["id"] for item in waiting["items"]]
        await output_of("central_sync", "device", "accept", "-c", str(house.settings), request)
        code, said = await house.enroll(house.url, *ca, "--wait", "0")
        assert code == 0, said
        assert house.kept["current"]["id"] == request, "the key that was asked with first"

        await house.agent.start()
        assert await house.grows()


async def test_what_the_token_names_is_checked_before_anything_is_sent(tmp_path: Path) -> None:
    async with plant(tmp_path) as house:
        other = tmp_path / "other"
        other.mkdir()
        await asyncio.to_thread(make_authority, other)
        wrong = await house.enrol_token("--device", DEVICE, "--ca-file", str(other / "ca.pem"))
        code, said = await house.enroll("--token", wrong)
        assert code == 2
        assert "does not show the certificate that the token names" in said
        assert not (tmp_path / "credentials.json").exists()
        assert "provision" not in (tmp_path / "centre.log").read_text()


async def test_each_refusal_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    async with plant(tmp_path) as house:
        used = await house.enrol_token("--device", "press-2")
        code, said = await house.enroll("--token", used)
        assert (code, said.count("\n")) == (2, 1)
        assert "the token is for press-2" in said
        revoked = await house.enrol_token("--device", DEVICE)
        [made] = [
            item
            for item in orjson.loads(
                await output_of("central_sync", "enrol-token", "list", "-c", str(house.settings), "--json")
            )
            if item["device_id"] == DEVICE
        ]
        await output_of("central_sync", "enrol-token", "revoke", "-c", str(house.settings), made["id"])
        code, said = await house.enroll("--token", revoked)
        assert (code, said.count("\n")) == (2, 1)
        assert "was revoked: ask for a new one" in said
        await house.centre.stop()
        code, said = await house.enroll("--token", await house.enrol_token("--device", DEVICE))
        assert (code, said.count("\n")) == (3, 1)
