"""Scripts from the centre to the data and back, with centre, agent and PLC as processes: assigned by label,
run in the sandbox, replaced, kept through a night without the centre, refused with their line, and signed."""

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from edge_agent.contracts.errors import NotConnected
from edge_agent.demo.children import output_of
from edge_agent.hooks import signing
from edge_agent.web.client import LocalClient
from edge_agent.wire.scripts import HookPoint, Script
from tests.crash.orders import Orders
from tests.crash.rig import DEVICE, Rig, Setup, until

TAG = "t0_of_the_hook"
SECONDS = 20.0


def source(factor: int) -> str:
    return (
        f'OUTPUTS = {{"{TAG}": "uint32"}}\n\n\n'
        f'def transform(frame):\n    frame["{TAG}"] = frame["t0"] * {factor}\n'
    )


BAD = f'OUTPUTS = {{"{TAG}": "uint32"}}\n\n\ndef transform(frame):\n    import os\n'


@dataclass
class House:
    rig: Rig
    headers: dict[str, str]
    script: dict[str, Any] = field(default_factory=dict)

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        async with (
            aiohttp.ClientSession(headers=self.headers) as session,
            session.request(method, f"{self.rig.url}/api/fleet{path}", json=body) as answer,
        ):
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def put(self, text: str) -> str:
        """The next version of the script. Returns its mark."""
        script = self.version(text)
        body = {"name": script.name, "hook_type": script.hook_type, "source": text, "groups": script.groups}
        if self.script:
            self.script = await self.ask("PUT", f"/scripts/{self.script['id']}", body)
        else:
            self.script = await self.ask("POST", "/scripts", body)
        return script.mark

    def version(self, text: str) -> Script:
        return Script(name="doubled", hook_type=HookPoint.TRANSFORM, source=text, groups=["plc00.*"])

    async def sign(self, version: int, signatures: list[dict[str, str]]) -> None:
        path = f"/scripts/{self.script['id']}/versions/{version}/signatures"
        await self.ask("PUT", path, {"signatures": signatures})

    async def reported(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.ask("GET", f"/devices/{DEVICE}"))["hooks"] or {}
        return found

    async def until_reported(self, state: str, version: int | None) -> dict[str, Any]:
        """version: of the script that runs; None: none does."""

        async def is_so() -> bool:
            report = await self.reported()
            running = [hook["version"] for hook in report.get("hooks", ()) if hook["state"] == "running"]
            return report.get("state") == state and running == ([] if version is None else [version])

        await until(is_so, SECONDS)
        return await self.reported()

    async def until_factor(self, factor: int, since: int, end: int | None = None) -> None:
        """There are values of the computed tag from that time on, so many times their originals."""
        end = end or since + 3_600_000

        async def arrived() -> bool:
            made = {at: value for at, value, _ in await self.rig.api.points("plc00", TAG, since, end)}
            own = {at: value for at, value, _ in await self.rig.api.points("plc00", "t0", since, end)}
            both = [at for at in made if at in own]
            return len(both) >= 3 and all(made[at] == own[at] * factor for at in both[-3:])

        await until(arrived, SECONDS)

    async def marks(self) -> set[str]:
        """What the schemas of the stored frames name."""
        return await asyncio.to_thread(self._marks)

    def _marks(self) -> set[str]:
        with closing(sqlite3.connect(self.rig.central_database)) as db:
            bodies = [row[0] for row in db.execute("SELECT body FROM schema")]
        return {mark for body in bodies for mark in json.loads(body).get("hooks", ())}

    async def change_file(self, **hooks: Any) -> None:
        """Writes the section `hooks` of the agent's file, and reloads."""
        document = yaml.safe_load(self.rig.config.read_text())
        self.rig.config.write_text(yaml.safe_dump({**document, "hooks": hooks}))
        done = await asyncio.to_thread(LocalClient(self.rig.runtime / "agent.sock").reload)
        assert done.applied, done.problems


@asynccontextmanager
async def house(directory: Path) -> AsyncIterator[House]:
    setup = Setup(manage=("hooks",), labels={"line": "a"}, buffer={"flush_interval": "400ms"})
    async with Rig(directory, 1, 4, "100ms", setup) as rig:
        data = str(rig.central_data)
        engineer = await output_of("central_sync", "token", "create", "--data", data, "--role", "engineer")
        await rig.start_centre()
        await rig.start_agent()
        yield House(rig, {"Authorization": f"Bearer {engineer}"})


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.mark.slow_limit(200)  # three processes start, and children judge and compile each set
@pytest.mark.timeout(200)
async def test_scripts_of_the_centre_run_at_the_edge_as_far_as_its_own_file_lets_them(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        first = await made.put(source(2))
        await made.ask("PUT", f"/scripts/{made.script['id']}/assignment", {"labels": {"line": "a"}})
        report = await made.until_reported("applied", 1)
        assert report["hooks"][0]["origin"] == "centre"
        await made.until_factor(2, now_ms())
        assert await made.marks() == {first}

        with pytest.raises(AssertionError, match="line 5: scripts cannot import 'os'"):
            await made.put(BAD)
        await _a_night_after_which_the_centre_is_not_the_same(made, first)
        await _only_what_is_signed(made)


async def _a_night_after_which_the_centre_is_not_the_same(made: House, last_good: str) -> None:
    """The agent is killed and starts again without a centre; in the morning that one serves what no centre
    of ours would."""
    await made.rig.centre.stop()
    await made.rig.agent.kill()
    evening = now_ms()
    await made.rig.agent.start()

    async def runs() -> bool:
        with contextlib.suppress(NotConnected):
            found = (await made.rig.status()).hooks
            return found is not None and [each.calls >= 3 for each in found.hooks] == [True]
        return False

    await until(runs, SECONDS)
    morning = now_ms()
    await asyncio.to_thread(_forge, made.rig.central_database)
    await made.rig.start_centre()
    report = await made.until_reported("rejected", 1)
    assert "doubled: line 5: scripts cannot import 'os'" in report["message"]
    await made.until_factor(2, evening, morning)
    await made.until_factor(2, now_ms())

    orders = Orders(made.rig)
    refused = await orders.ended(await orders.order("sync_scripts"))
    assert (refused["state"], refused["code"]) == ("failed", "scripts_rejected")
    assert f"what runs: doubled {last_good.partition('@')[2]}" in refused["message"]
    second = await made.put(source(4))
    synced = await orders.ended(await orders.order("sync_scripts"))
    assert synced["state"] == "succeeded", synced
    (running,) = synced["result"]["scripts"]
    assert (running["name"], running["origin"], running["version"]) == ("doubled", "centre", 2)
    assert second == f"doubled@{running['sha256'][:16]}"


def _forge(database: Path) -> None:
    """What devices are served, past all that the centre looks at."""
    with closing(sqlite3.connect(database)) as db, db:
        (body,) = db.execute("SELECT body FROM script_version WHERE version = 1").fetchone()
        forged = json.dumps({**json.loads(body), "source": BAD}).encode()
        db.execute("UPDATE script_version SET body = ? WHERE version = 1", (forged,))
        db.execute("UPDATE device SET scripts_etag = 'forged'")


async def _only_what_is_signed(made: House) -> None:
    # That the commands make the same: tests/integration/test_scripts_guide.py.
    pem, public = signing.new_key()
    await made.change_file(require_signature={"plant": public})
    report = await made.until_reported("rejected", None)
    assert "doubled is not signed" in report["message"]

    signed = signing.sign(made.version(source(4)), "plant", pem)
    signatures = [each.model_dump() for each in signed.signatures]
    await made.sign(2, signatures)
    await made.until_reported("applied", 2)
    await made.until_factor(4, now_ms())
    assert len(await made.marks()) == 2

    # Who has the centre has signatures of what was signed, and no others.
    await made.put(source(5))
    await made.sign(3, signatures)
    report = await made.until_reported("rejected", 2)
    assert "does not fit" in report["message"]
    await made.until_factor(4, now_ms())
