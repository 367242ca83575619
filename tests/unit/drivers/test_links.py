"""Links without a network: a transport that keeps what was sent, and a framing that numbers requests."""

import asyncio

import pytest

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.links import StreamLink


class Sent(asyncio.Transport):
    """What was written."""

    def __init__(self) -> None:
        super().__init__()
        self.data: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.data.append(bytes(data))

    def abort(self) -> None:
        pass


class Ordered:
    """A reply is whatever comes next: after one that was given up nothing can be trusted."""

    names_replies = False
    untouched = True
    discarded = ""

    def request(self, body: bytes) -> bytes:
        return body

    def receive(self, data: bytes) -> bytes | None:
        return data

    def abandon(self) -> bool:
        return False


def opened() -> StreamLink[bytes, bytes]:
    link = StreamLink(Ordered(), 60.0)
    link.connection_made(Sent())
    return link


async def test_a_request_that_is_cancelled_in_the_middle_ends_a_link_that_cannot_name_its_reply() -> None:
    link = opened()
    request = asyncio.create_task(link.request(b"one"))
    await asyncio.sleep(0)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    with pytest.raises(NotConnected):
        await link.request(b"two")


async def test_a_cancellation_in_the_moment_of_the_answer_costs_no_link() -> None:
    link = opened()
    request = asyncio.create_task(link.request(b"one"))
    await asyncio.sleep(0)
    link.data_received(b"1")
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    following = asyncio.create_task(link.request(b"two"))
    await asyncio.sleep(0)
    link.data_received(b"2")
    assert await following == b"2"
    link.drop("the test is over")
