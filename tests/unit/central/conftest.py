"""A centre on a free port of loopback with a clock that stands still, and clients with tokens."""

import asyncio
import io
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from central_sync import app
from central_sync.app import Centre, running
from central_sync.settings import Settings
from tests.unit.central.edge import T0, Edge

UPLOAD_TYPE = "application/vnd.holdfast.batches"


class FakeClock:
    """Time moves by `advance` alone; sleepers wake when their time has come."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.set_by = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self.seconds

    def wall_ms(self) -> int:
        return T0 + int((self.seconds + self.set_by - 1_000.0) * 1000)

    def set_wall(self, seconds: float) -> None:
        """Somebody sets the clock of the machine."""
        self.set_by += seconds

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.seconds + seconds, future))
        await future

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        due = [entry for entry in self._sleepers if entry[0] <= self.seconds]
        self._sleepers = [entry for entry in self._sleepers if entry[0] > self.seconds]
        for _, future in due:
            if not future.done():
                future.set_result(None)


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes
    json: Any


@dataclass
class House:
    """A running centre and its clients: `admin`, `operator`, `viewer`, and one for each device."""

    centre: Centre
    clock: FakeClock
    data: Path
    session: aiohttp.ClientSession
    tokens: dict[str, str]

    async def ask(
        self, method: str, path: str, who: str | None = "admin", body: bytes | None = None, **headers: str
    ) -> Answer:
        """`headers` are named with underscores. `who` None sends no token."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if who is not None:
            sent["Authorization"] = f"Bearer {self.tokens[who]}"
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        # The client warns of large bodies that are not streams.
        data = io.BytesIO(body) if body is not None else None
        async with self.session.request(method, self.url(path), data=data, headers=sent) as response:
            content = await response.read()
            is_json = "json" in response.content_type and "ndjson" not in response.content_type
            parsed = await response.json(content_type=None) if is_json else None
            return Answer(response.status, response.headers, content, parsed)

    def url(self, path: str) -> URL:
        """`path` as it is, its percent signs untouched."""
        return URL(self.centre.url + path, encoded=True)

    async def get(self, path: str, who: str | None = "viewer") -> Any:
        answer = await self.ask("GET", path, who)
        assert answer.status == 200, answer.body
        return answer.json

    async def post(self, edge: Edge, body: bytes) -> Answer:
        path = f"/api/fleet/edge/{edge.device}/data"
        return await self.ask("POST", path, edge.device, body, Content_Type=UPLOAD_TYPE)

    async def put_schema(self, edge: Edge) -> Answer:
        path = f"/api/fleet/edge/{edge.device}/schemas/{edge.schema.hash}"
        return await self.ask("PUT", path, edge.device, edge.schema.canonical)

    async def beat(self, edge: Edge, **changes: Any) -> Any:
        path = f"/api/fleet/edge/{edge.device}/heartbeat"
        answer = await self.ask("POST", path, edge.device, edge.heartbeat(**changes))
        assert answer.status == 200, answer.body
        return answer.json

    async def stats(self, device: str = "dev-1") -> Any:
        return (await self.get(f"/api/fleet/data/stats?device={device}"))["devices"][0]


OpenHouse = Callable[..., AbstractAsyncContextManager[House]]


@dataclass(frozen=True)
class Foundation:
    """A centre's data with nothing in it but tokens, made once: migrations and commits take their time."""

    data: Path
    tokens: dict[str, str]


def founded(data: Path) -> Foundation:
    """On data that may be there already."""
    tokens = {role: app.create_token(data, role, None)[0] for role in ("admin", "operator", "viewer")}
    return Foundation(
        data, tokens | {device: app.create_token(data, None, device)[0] for device in ("dev-1", "dev-2")}
    )


@pytest.fixture(scope="session")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> Foundation:
    return founded(tmp_path_factory.mktemp("foundation") / "data")


@asynccontextmanager
async def house_on(
    foundation: Foundation, data: Path, clock: FakeClock, **settings: Any
) -> AsyncIterator[House]:
    """A centre whose data begin as a copy of the foundation's, where there are none."""
    if not data.exists():
        await asyncio.to_thread(shutil.copytree, foundation.data, data)
    chosen = Settings(data=data, listen="127.0.0.1:0", **settings)
    async with running(chosen, clock) as centre, aiohttp.ClientSession() as session:
        yield House(centre, clock, data, session, dict(foundation.tokens))


@pytest.fixture
def open_house(tmp_path: Path, foundation: Foundation) -> OpenHouse:
    """Opens a centre; opening again in one test finds the same data."""
    clock = FakeClock()
    return lambda **settings: house_on(foundation, tmp_path / "data", clock, **settings)
