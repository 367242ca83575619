"""Requests to the simulated XGT PLC, which must refuse in the protocol's words whatever comes."""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from edge_agent.drivers.xgt.simulator.faults import Faults
from edge_agent.drivers.xgt.simulator.image import Image
from edge_agent.drivers.xgt.simulator.requests import Refusal, understand
from edge_agent.drivers.xgt.simulator.station import Counters, World, answer

_WRITE: Final = b"\x58\0"
_HEAD: Final = bytes.fromhex("4C5349532D58475400000000003301000000 0300")
_BODIES: Final = (
    "54000200000003000600254457313030050025445735" + "0400254D5733",
    "540014000000010006002544423230300600",
    "54000000000001000700254D58313732430400255458" + "35",
    "5800020000000100040025445735" + "02003412",
    "58001400000001000600254D42333030040001020304",
    "5800000000000100040025" + "4D5831010001",
    "B00000000000",
)
SEEDS: Final[Sequence[bytes]] = tuple(_HEAD + bytes.fromhex(body) for body in _BODIES)


def target(data: bytes) -> None:
    """A frame as the length in its header cuts it out of the stream, which is set right here."""
    if len(data) < len(_HEAD):
        return
    body = data[20:]
    frame = data[:16] + (len(body) & 0xFFFF).to_bytes(2, "little") + data[18:19] + b"\0" + body
    for series, hex_bits in ((0xA0, False), (0xB0, True), (0xA4, False)):
        world = World(
            series, hex_bits, 1000, 0.0, True, 2, True, lambda: 0, Image(), Faults(), Counters(),
            deque(maxlen=1), set(),
        )  # fmt: skip
        if body[:2] == _WRITE:  # not carried out: each is told to whoever counts requests to write
            with suppress(Refusal):
                order = understand(body, series, hex_bits=hex_bits)
                assert len(order.values) == len(order.variables)
            continue
        reply = answer(world, frame).data
        assert len(reply) == 20 + int.from_bytes(reply[16:18], "little")
        assert reply[:10] == frame[:10]
        assert reply[14:16] == frame[14:16]
        assert reply[19] == sum(reply[:19]) % 256
