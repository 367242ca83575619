"""The device's credential: on the disk before it is used, renewed in time, and kept whatever the centre says.

pains.md: fleet#47650, #26283 - one spurious 401 destroys the device's key.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import orjson
import pytest

from edge_agent.contracts.errors import StorageFailed
from edge_agent.runtime.atomic import write_atomic
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.uplink.credentials import Credentials, Kept
from edge_agent.uplink.enrolment import Hardware
from edge_agent.uplink.errors import NotAccepted, Unreachable
from edge_agent.uplink.rotation import Rotation
from edge_agent.uplink.standing import Standing
from edge_agent.uplink.transport import Reply

DEVICE = "press-1"
DAY_MS = 86_400_000
HOUR = 3_600.0


class Killed(BaseException):
    """The process dies here."""


class FakeCentre:
    """Knows credentials by their bearer text, as the real one: answers are lost or refused as a test says."""

    def __init__(self, clock: ManualClock, standing: Standing, credentials: Credentials) -> None:
        self.clock, self.standing, self.credentials = clock, standing, credentials
        self.life_ms = 90 * DAY_MS
        self.good: dict[str, int] = {}  # key → its end
        self.follows: dict[str, str] = {}
        self.accepts = True
        self.pending = False
        self.provisioned: list[dict[str, object]] = []
        self.renewals = 0
        self.before_answer: Callable[[], None] = lambda: None

    def _key_of(self, bearer: str) -> str | None:
        _, name, secret = bearer.split("_", 2)
        key = hashlib.sha256(secret.encode()).hexdigest()
        return key if name == key[:12] and self.good.get(key, 0) > self.clock.wall_ms() else None

    def use(self) -> bool:
        """Any request of the agent's: a heartbeat, an upload."""
        try:
            bearer = self.credentials.bearer()
        except NotAccepted as fault:
            self.standing.bad(None, str(fault))
            return False
        key = self._key_of(bearer)
        if key is None or not self.accepts:
            self.standing.bad(bearer, "401: the token is unknown or revoked")
            return False
        self.good.pop(self.follows.pop(key, ""), None)
        self.standing.good(bearer)
        return True

    async def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        content_type: str | None,
        if_none_match: str | None = None,
        wait_seconds: float = 0.0,
    ) -> Reply:
        assert (method, path) == ("POST", "/credentials")
        if not self.use():
            raise NotAccepted("401", 401)
        old = self._key_of(self.credentials.bearer())
        new = orjson.loads(body or b"")["key"]
        following = Kept.model_validate_json(self.credentials.path.read_bytes()).next
        assert following is not None
        assert new == following.key, "it is kept before it is sent"
        if new not in self.good:
            self.renewals += 1
            self.good[new] = self.clock.wall_ms() + self.life_ms
            self.follows[new] = old or ""
        self.before_answer()
        return Reply(200, orjson.dumps({"credential": new[:12], "expires": self.good[new]}), None, None, "")

    async def provision(self, body: bytes) -> Reply:
        asked = orjson.loads(body)
        self.provisioned.append(asked)
        if self.pending:
            answer = {"state": "pending", "request": asked["key"][:12], "retry_after": 10.0}
            return Reply(202, orjson.dumps(answer), None, None, "")
        key = asked["key"]
        self.good.setdefault(key, self.clock.wall_ms() + self.life_ms)
        answer = {"device_id": DEVICE, "credential": key[:12], "expires": self.good[key]}
        self.before_answer()
        return Reply(200, orjson.dumps(answer), None, None, "")


class Desk:
    """One life of an agent, as far as its credential goes."""

    def __init__(self, path: Path, clock: ManualClock, before: "FakeCentre | None" = None) -> None:
        self.clock = clock
        self.died: Callable[[], None] = lambda: None
        self.credentials = Credentials(path, self._write)
        self.problem = self.credentials.load()
        self.standing = Standing(clock, self.credentials, lambda: None)
        self.centre = FakeCentre(clock, self.standing, self.credentials)
        if before is not None:
            self.centre.good, self.centre.follows = before.good, before.follows
        self.rotation = Rotation(
            self.centre,
            self.credentials,
            DEVICE,
            Hardware("machine-a"),
            self.standing.refused_seconds,
            clock,
            grace_seconds=HOUR,
            random=Random(7),
        )

    def _write(self, path: Path, data: bytes) -> None:
        self.died()
        write_atomic(path, data)
        self.died()

    async def enrol(self) -> None:
        await self.rotation.step()
        assert self.centre.use()
        await self.rotation.step()
        assert self.credentials.current is not None

    async def live(self, seconds: float, every: float = 30.0) -> int:
        """Time passes with a request and a look every so often. How many requests were taken."""
        taken = 0
        for _ in range(int(seconds / every)):
            await self.clock.advance(every)
            taken += self.centre.use()
            await self.rotation.step()
        return taken


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@asynccontextmanager
async def enrolled(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path / "credentials.json", clock)
    await desk.enrol()
    yield desk


async def test_the_file_is_the_agents_alone(tmp_path: Path, clock: ManualClock) -> None:
    async with enrolled(tmp_path, clock) as desk:
        assert desk.credentials.path.stat().st_mode & 0o777 == 0o600


async def test_one_spurious_401_destroys_nothing(tmp_path: Path, clock: ManualClock) -> None:
    """pains.md: fleet#47650, #26283."""
    async with enrolled(tmp_path, clock) as desk:
        before = desk.credentials.path.read_bytes()
        desk.centre.accepts = False
        assert not desk.centre.use()
        await desk.rotation.step()
        desk.centre.accepts = True

        assert desk.centre.use()
        assert desk.credentials.path.read_bytes() == before
        assert len(desk.centre.provisioned) == 1, "it was enrolled once, at the beginning"
        assert desk.standing.text is None


async def test_a_day_of_401s_loses_no_credential_and_recovers_by_itself(
    tmp_path: Path, clock: ManualClock
) -> None:
    """pains.md: fleet#47650, #26283. The centre has no operator who would accept it anew."""
    async with enrolled(tmp_path, clock) as desk:
        current = desk.credentials.current
        desk.centre.accepts, desk.centre.pending = False, True
        assert await desk.live(DAY_MS / 1000) == 0
        text = desk.standing.text

        assert text is not None
        assert text.startswith("the centre does not accept this device's credential since 2026-01-01 00:00:")
        assert desk.credentials.current == current
        desk.centre.accepts = True
        assert await desk.live(120) >= 3
        assert desk.standing.text is None
        assert desk.credentials.current == current


async def test_a_refused_device_asks_to_enrol_again_after_the_grace_and_not_before(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with enrolled(tmp_path, clock) as desk:
        old = desk.credentials.current
        desk.centre.good.clear()
        await desk.live(HOUR - 60)
        assert len(desk.centre.provisioned) == 1
        await desk.live(180)

        assert len(desk.centre.provisioned) == 2
        assert desk.centre.provisioned[1]["machine"] == "machine-a"
        assert desk.centre.provisioned[1]["device_id"] == DEVICE
        assert desk.credentials.current != old, "the new one worked"
        assert await desk.live(120) == 4


async def test_a_device_that_waits_asks_ever_more_rarely_with_one_key(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with enrolled(tmp_path, clock) as desk:
        desk.centre.good.clear()
        desk.centre.pending = True
        pauses = [await desk.rotation._enrol() for _ in range(12)]
        assert pauses[0] >= 48
        assert 0.8 * HOUR <= pauses[-1] <= HOUR
        assert len({str(asked["key"]) for asked in desk.centre.provisioned[1:]}) == 1


async def test_a_credential_is_renewed_between_75_and_80_percent_of_its_life(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with enrolled(tmp_path, clock) as desk:
        first = desk.credentials.current
        await desk.live(0.74 * 90 * 86_400, every=HOUR)
        assert desk.centre.renewals == 0
        await desk.live(0.07 * 90 * 86_400, every=HOUR)

        assert desk.centre.renewals == 1
        assert desk.credentials.current != first
        assert desk.credentials.next is None
        assert len(desk.centre.good) == 1, "the old one is revoked"


async def test_a_restored_centre_that_knows_the_old_credential_is_served(
    tmp_path: Path, clock: ManualClock
) -> None:
    """It lost the renewal before the new one was used: the old one is shown again, and renewed again."""
    async with enrolled(tmp_path, clock) as desk:
        backup = dict(desk.centre.good)
        await clock.advance(0.81 * 90 * 86_400)
        await desk.rotation.step()
        assert desk.centre.renewals == 1
        desk.centre.good, desk.centre.follows = backup, {}
        taken = await desk.live(HOUR, every=60)

        assert taken >= 59, "one request was refused"
        assert desk.centre.renewals == 2
        assert desk.credentials.next is None


@pytest.mark.parametrize("point", range(12))
async def test_killed_at_any_point_of_a_renewal_it_still_has_a_credential(
    tmp_path: Path, clock: ManualClock, point: int
) -> None:
    """Points: before and after each write, and between the centre's commit and its answer."""
    path = tmp_path / "credentials.json"
    desk = Desk(path, clock)
    await desk.enrol()
    await clock.advance(0.81 * 90 * 86_400)
    passed = 0

    def die() -> None:
        nonlocal passed
        passed += 1
        if passed > point:
            raise Killed

    desk.died = desk.centre.before_answer = die
    with contextlib.suppress(Killed):
        for _ in range(4):
            await desk.rotation.step()
            desk.centre.use()
    again = Desk(path, clock, desk.centre)

    assert again.problem == ""
    taken = [again.centre.use() for _ in range(3)]
    assert any(taken), "one of what is on the disk works, at the second request at the latest"
    await again.live(4 * HOUR, every=30)
    assert again.centre.use()
    assert again.credentials.next is None
    assert len(again.centre.good) == 1


@pytest.mark.parametrize("point", range(6))
async def test_killed_at_any_point_of_enrolling_it_asks_again_with_the_same_key(
    tmp_path: Path, clock: ManualClock, point: int
) -> None:
    path = tmp_path / "credentials.json"
    desk = Desk(path, clock)
    passed = 0

    def die() -> None:
        nonlocal passed
        passed += 1
        if passed > point:
            raise Killed

    desk.died = desk.centre.before_answer = die
    with contextlib.suppress(Killed):
        await desk.enrol()
    again = Desk(path, clock, desk.centre)
    await again.live(300)

    assert again.centre.use()
    keys = {str(asked["key"]) for asked in (*desk.centre.provisioned, *again.centre.provisioned)}
    assert len(keys) == 1, "no token is burnt twice"


async def test_a_disk_that_cannot_be_written_changes_nothing(tmp_path: Path, clock: ManualClock) -> None:
    async with enrolled(tmp_path, clock) as desk:
        current = desk.credentials.current

        def full() -> None:
            raise OSError(28, "No space left on device")

        desk.died = full
        await clock.advance(0.81 * 90 * 86_400)
        with pytest.raises(StorageFailed, match="No space left"):
            await desk.rotation.step()
        assert desk.credentials.current == current
        assert desk.credentials.next is None
        assert desk.centre.use()


async def test_a_file_that_is_none_is_left_as_it_is_and_said(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "credentials.json"
    path.write_bytes(b"{broken")
    desk = Desk(path, clock)
    assert "is no credentials file" in desk.problem
    assert path.read_bytes() == b"{broken"


async def test_what_another_program_enrolled_is_taken_up(tmp_path: Path, clock: ManualClock) -> None:
    """`edge-agent enroll --again` beside an agent that runs and is refused."""
    async with enrolled(tmp_path, clock) as desk:
        desk.centre.good.clear()
        assert not desk.centre.use()
        other = Desk(desk.credentials.path, clock, desk.centre)
        key = other.credentials.new_key()
        desk.centre.good[key.key] = clock.wall_ms() + DAY_MS
        other.credentials.accept(key.key, DEVICE, key.key[:12], clock.wall_ms(), clock.wall_ms() + DAY_MS)

        await desk.rotation.step()
        assert desk.centre.use()
        await desk.rotation.step()
        assert desk.credentials.current is not None
        assert desk.credentials.current.key == key.key


async def test_no_answer_is_no_reason_for_anything(tmp_path: Path, clock: ManualClock) -> None:
    async with enrolled(tmp_path, clock) as desk:

        def lost() -> None:
            raise Unreachable("the connection is broken")

        desk.centre.before_answer = lost
        await clock.advance(0.81 * 90 * 86_400)
        for _ in range(5):
            await desk.rotation.step()
        assert desk.centre.renewals == 1, "asked with the same key each time"
        assert desk.centre.use()
        desk.centre.before_answer = lambda: None
        await desk.rotation.step()
        assert desk.centre.use()
        await asyncio.sleep(0)
        await desk.rotation.step()
        assert desk.credentials.next is None
