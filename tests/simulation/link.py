"""The network: the agent's client and the centre's door, with the bytes between them and what befalls them.

Stands for `uplink.client.CentreClient` (it has its methods and makes its errors, with that module's own
reading of an answer) and for the centre's HTTP edge (`api.problems` writes the refusals). Each exchange
has a fate, drawn from the seed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Final, Protocol, TypeVar

from central_sync.api.problems import of_refusal
from central_sync.services.errors import Refusal
from edge_agent.uplink.client import _fault, parse_answer
from edge_agent.uplink.errors import Unreachable
from edge_agent.uplink.transport import Reply
from edge_agent.wire import ranges
from edge_agent.wire.messages import Heartbeat, HeartbeatAnswer, Message, UploadAnswer
from edge_agent.wire.upload import decode_upload

M = TypeVar("M", bound=Message)
REQUEST_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Weather:
    """Shares of exchanges that something happens to, and how long a way takes at most."""

    seconds: float = 0.05
    lost: float = 0.0
    reply_lost: float = 0.0
    repeated: float = 0.0
    stalled: float = 0.0
    misrouted: float = 0.0
    broken: float = 0.0


GOOD: Final = Weather()
KINDS: Final = {
    "good": GOOD,
    "slow": replace(GOOD, seconds=4.0),
    "lossy": replace(GOOD, lost=0.3, reply_lost=0.3),
    "forgetful": replace(GOOD, reply_lost=0.7),
    "repeating": replace(GOOD, seconds=1.0, repeated=0.6),
    "stalling": replace(GOOD, stalled=0.3, seconds=1.0),
    "strange": replace(GOOD, misrouted=0.3, broken=0.2),
    "storm": Weather(3.0, 0.2, 0.2, 0.3, 0.1, 0.1, 0.1),
    "cut": replace(GOOD, lost=1.0),
}


class Door(Protocol):
    """A running centre."""

    async def serve(self, path: str, body: bytes) -> tuple[int, bytes]:
        """The status and body of a success. Raises Refusal, and ConnectionError where it has died."""
        ...


class Link:
    """One network between a device and the centre, whichever life of it runs."""

    def __init__(
        self,
        random: Random,
        door: Callable[[], Door | None],
        spawn: Callable[[Awaitable[None]], object],
        seen: Callable[[str, bytes, str, bytes], None],
    ) -> None:
        """door: the centre if it is up. spawn: starts what lives on its own. seen: path, body, what became
        of it, and what the centre answered."""
        self._random = random
        self._door = door
        self._spawn = spawn
        self._seen = seen
        self.answers: list[Reply] = []  # what somebody on the way may answer with
        self._open: list[asyncio.Future[Reply]] = []
        self.weather = GOOD

    def cut(self) -> None:
        """Nothing passes any more, and whoever waits for an answer is told."""
        self.weather = KINDS["cut"]
        for arrival in self._open:
            self._fail(arrival, "the connection is broken")

    async def exchange(self, path: str, body: bytes) -> Reply:
        """Raises UplinkFault as the client does."""
        arrival: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._open = [each for each in self._open if not each.done()]
        self._open.append(arrival)
        self._spawn(self._carry(path, body, arrival))
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                reply = await asyncio.shield(arrival)
        except TimeoutError:
            raise Unreachable("no answer in time") from None
        fault = _fault(reply)
        if fault is not None:
            raise fault
        return reply

    async def _carry(self, path: str, body: bytes, arrival: "asyncio.Future[Reply]") -> None:
        """A request's way to the centre and back; whoever sent it may be dead meanwhile."""
        weather, chance = self.weather, self._random.random
        lost, reply_lost, stalled = (
            chance() < share for share in (weather.lost, weather.reply_lost, weather.stalled)
        )
        await asyncio.sleep(weather.seconds * chance() + (REQUEST_SECONDS * 1.5 if stalled else 0.0))
        door = self._door()
        if lost or door is None:
            self._seen(path, body, "lost on the way", b"")
            self._fail(arrival, "the connection is broken")
            return
        if path == "/data" and self.answers and chance() < weather.misrouted:
            self._seen(path, body, "somebody answers in its place", b"")
            self._succeed(arrival, self._strange_answer(body))
            return
        try:
            reply = await self._ask(door, path, body)
        except ConnectionError:
            self._seen(path, body, "the centre died over it", b"")
            self._fail(arrival, "the connection is broken")
            return
        self._seen(path, body, f"{reply.status}{', answer lost' if reply_lost else ''}", reply.body)
        if chance() < weather.repeated:
            self._spawn(self._repeat(path, body, 20.0 * chance()))
        await asyncio.sleep(weather.seconds * chance())
        if reply_lost:
            self._fail(arrival, "the answer is lost")
            return
        if chance() < weather.broken:
            reply = Reply(200, b"<html>please log in</html>", None, None, "")
        elif path == "/data" and reply.status == 200:
            self.answers = [*self.answers[-100:], reply]
        self._succeed(arrival, reply)

    def _strange_answer(self, body: bytes) -> Reply:
        """Whatever came by before; best one to batches of the same numbers in another epoch."""
        head, items = decode_upload(body)
        seqs = ranges.of_numbers(item.seq for item in items)
        fitting = [
            reply
            for reply in self.answers
            if (found := UploadAnswer.model_validate_json(reply.body)).epoch != head.epoch
            and ranges.intersect(found.acked, seqs)
        ]
        return self._random.choice(fitting or self.answers)

    async def _repeat(self, path: str, body: bytes, seconds: float) -> None:
        """The same bytes again, from somewhere on the way; nobody reads the answer."""
        await asyncio.sleep(seconds)
        door = self._door()
        if door is not None:
            try:
                reply = await self._ask(door, path, body)
                self._seen(path, body, f"repeated, {reply.status}", reply.body)
            except ConnectionError:
                self._seen(path, body, "repeated, the centre died over it", b"")

    @staticmethod
    async def _ask(door: Door, path: str, body: bytes) -> Reply:
        try:
            status, answer = await door.serve(path, body)
        except Refusal as refusal:
            refused = of_refusal(refusal)
            assert isinstance(refused.body, bytes)
            return Reply(refused.status, refused.body, None, refused.headers.get("Retry-After"), "")
        return Reply(status, answer, None, None, "")

    @staticmethod
    def _succeed(arrival: "asyncio.Future[Reply]", reply: Reply) -> None:
        if not arrival.done():
            arrival.set_result(reply)

    @staticmethod
    def _fail(arrival: "asyncio.Future[Reply]", why: str) -> None:
        if not arrival.done():
            arrival.set_exception(Unreachable(why))
            arrival.exception()  # its sender may be dead: nobody has to look


class LinkClient:
    """What `Uploader` and `Heartbeats` need of a client."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def upload(self, body: bytes) -> UploadAnswer:
        return parse_answer(UploadAnswer, await self._link.exchange("/data", body))

    async def put_schema(self, name: str, body: bytes) -> None:
        reply = await self._link.exchange(f"/schemas/{name}", body)
        if reply.status not in (200, 201, 204):
            raise Unreachable(f"unexpected answer {reply.status} to a schema")

    async def heartbeat(self, heartbeat: Heartbeat) -> HeartbeatAnswer:
        body = heartbeat.model_dump_json().encode()
        return parse_answer(HeartbeatAnswer, await self._link.exchange("/heartbeat", body))
