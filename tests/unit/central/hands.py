"""A device's side of commands for the centre's tests: what its agent would send, said by hand."""

import asyncio
import sqlite3
from dataclasses import dataclass, field
from typing import Any

import orjson

from central_sync.app import people
from tests.unit.central.conftest import Answer, House
from tests.unit.central.edge import T0, Edge


@dataclass
class Hands:
    """One device. Reports are numbered by command, as the agent's journal does."""

    house: House
    device: str = "dev-1"
    numbers: dict[str, int] = field(default_factory=dict)

    async def offers(self, wait: float = 0) -> Any:
        path = f"/api/fleet/edge/{self.device}/commands?wait={wait}"
        answer = await self.house.ask("GET", path, self.device)
        assert answer.status == 200, answer.body
        return answer.json

    async def offered(self) -> list[str]:
        return [offer["id"] for offer in (await self.offers())["commands"]]

    async def cancels(self) -> list[str]:
        return list((await self.offers())["cancel"])

    async def send(self, command: str, state: str, no: int, **more: Any) -> Answer:
        path = f"/api/fleet/edge/{self.device}/commands/{command}/report"
        body = orjson.dumps({"no": no, "state": state, "time": T0, **more})
        return await self.house.ask("POST", path, self.device, body)

    async def report(self, command: str, *states: str, **more: Any) -> None:
        """Each state in a report of its own, in order."""
        for state in states:
            self.numbers[command] = self.numbers.get(command, 0) + 1
            answer = await self.send(command, state, self.numbers[command], **more)
            assert answer.status == 204, answer.body

    async def put(self, command: str, content: bytes, name: str = "agent.log") -> Answer:
        path = f"/api/fleet/edge/{self.device}/commands/{command}/artifact?name={name}"
        return await self.house.ask(
            "PUT", path, self.device, content, Content_Type="application/octet-stream"
        )


async def meet(house: House, *devices: str) -> None:
    """The devices are known from now on."""
    for device in devices or ("dev-1", "dev-2"):
        await house.beat(Edge(device=device))


async def order(house: House, kind: str = "ping", who: str = "operator", **more: Any) -> Any:
    """To dev-1, unless `targets` says otherwise; the whole answer's JSON."""
    answer = await post_order(house, kind, who, **more)
    assert answer.status == 201, answer.body
    return answer.json


async def post_order(
    house: House, kind: str = "ping", who: str = "operator", key: str | None = None, **more: Any
) -> Answer:
    body = orjson.dumps({"type": kind, "targets": {"devices": ["dev-1"]}, **more})
    headers = {} if key is None else {"Idempotency_Key": key}
    return await house.ask("POST", "/api/fleet/commands", who, body, **headers)


async def command(house: House, **more: Any) -> str:
    """The id of a new command for dev-1."""
    return str((await order(house, **more))["commands"][0]["id"])


async def show(house: House, command: str, who: str = "viewer") -> Any:
    return await house.get(f"/api/fleet/commands/{command}", who)


async def state(house: House, command: str) -> str:
    return str((await show(house, command))["state"])


async def cancel(house: House, command: str, who: str = "operator") -> Answer:
    return await house.ask("POST", f"/api/fleet/commands/{command}/cancel", who)


async def pass_time(house: House, seconds: float) -> None:
    """And the centre looks at its deadlines."""
    house.clock.advance(seconds)
    await house.centre.commands.watch.look()


async def give_token(house: House, name: str, role: str, **labels: str) -> None:
    """A token of this role, limited to devices with these registry labels."""
    made = await asyncio.to_thread(people.create_limited_token, house.data, role, name, labels, None, None)
    house.tokens[name] = made[0]


async def label(house: House, device: str, **labels: str) -> None:
    """In the registry."""
    sql = "INSERT INTO device_label SELECT no, ?, ?, 1 FROM device WHERE id = ?"
    rows = [(key, value, device) for key, value in labels.items()]

    def work(connection: sqlite3.Connection) -> None:
        connection.executemany(sql, rows)

    await house.centre.store.write(work)


async def make_devices(house: House, names: list[str]) -> None:
    """Many that have never been heard of."""
    sql = "INSERT INTO device (id, created, state_since) VALUES (?, 0, 0)"

    def work(connection: sqlite3.Connection) -> None:
        connection.executemany(sql, [(name,) for name in names])

    await house.centre.store.write(work)
