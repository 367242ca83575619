"""The simulated PLC: what it holds, and that it refuses whatever the manuals forbid."""

from collections import deque
from functools import partial

import pytest

from edge_agent.drivers.simulating.control import answer_line
from edge_agent.drivers.xgt.simulator.control import obey
from edge_agent.drivers.xgt.simulator.faults import Fault, FaultKind, Faults
from edge_agent.drivers.xgt.simulator.image import Image, contact, word
from edge_agent.drivers.xgt.simulator.server import Simulator, SimulatorConfig
from edge_agent.drivers.xgt.simulator.station import Counters, World, answer

HEADER = "4C5349532D58475400000000A0330700"


def world(*, series: int = 0xA0, hex_bits: bool = False, writable: bool = False, nak_bytes: int = 2) -> World:
    return World(
        series, hex_bits, 1000, 0.0, writable, nak_bytes, True, lambda: 5000, Image(), Faults(), Counters(),
        deque(maxlen=10), set(),
    )  # fmt: skip


def frame(body: str, *, header: str = HEADER, position: int = 3, bcc: int | None = None) -> bytes:
    data = bytes.fromhex(body)
    head = bytes.fromhex(header) + len(data).to_bytes(2, "little") + bytes((position,))
    return head + bytes((sum(head) % 256 if bcc is None else bcc,)) + data


def named(name: str) -> str:
    return len(name).to_bytes(2, "little").hex() + name.encode().hex()


def body_of(plc: World, body: str) -> str:
    return answer(plc, frame(body)).data[20:].hex()


READ_WORD, READ_BIT, READ_BLOCK = "540002000000", "540000000000", "540014000000"


def test_a_reply_echoes_what_names_the_request_and_tells_the_state() -> None:
    """XGL-EFMF manual 7.1; compare the header of the reply that Dsu.PLC.LS recorded."""
    plc = world()
    reply = answer(plc, frame(READ_WORD + "0100" + named("%DW1000"))).data
    assert reply[:10] == b"LSIS-XGT\0\0"
    assert reply[10:14].hex() == "0401a011"
    assert reply[14:16].hex() == "0700"
    assert reply[16:18] == (len(reply) - 20).to_bytes(2, "little")
    assert reply[18] == 3
    assert reply[19] == sum(reply[:19]) % 256
    plc.state = "error"
    assert answer(plc, frame(READ_WORD + "0100" + named("%DW1000"))).data[10:12].hex() == "8404"


def test_values_follow_from_area_number_and_tick() -> None:
    plc = world()
    value = (31 * 1000 + 7 * 5 + 1009 * 8) % 65_536
    assert word("D", 1000, 5) == value
    data = value.to_bytes(2, "little").hex()
    assert body_of(plc, READ_WORD + "0100" + named("%DW1000")) == "55000200000000000100" + "0200" + data
    assert body_of(plc, READ_BLOCK + "0100" + named("%DB2000") + "0200") == (
        "55001400000000000100" + "0200" + data
    )
    for bit in (0, 3, 15):
        on = value >> bit & 1
        assert body_of(plc, READ_BIT + "0100" + named(f"%DX{16000 + bit}")) == (
            f"550000000000000001000100{on:02x}"
        )
    assert body_of(plc, READ_BIT + "0100" + named("%TX4")) == f"550000000000000001000100{contact(4, 5):02x}"


def test_dwords_and_lwords_are_numbered_in_their_own_size() -> None:
    plc = world()
    block = body_of(plc, READ_BLOCK + "0100" + named("%DB200") + "0800")[-16:]
    assert body_of(plc, "540003000000" + "0100" + named("%DD50"))[-8:] == block[:8]
    assert body_of(plc, "540004000000" + "0100" + named("%DL25"))[-16:] == block


def test_hexadecimal_bits_are_another_naming_of_the_same() -> None:
    plain, hexadecimal = world(), world(hex_bits=True)
    for word_number, bit in ((172, 12), (3, 0), (0, 9)):
        old = body_of(plain, READ_BIT + "0100" + named(f"%MX{16 * word_number + bit}"))
        assert body_of(hexadecimal, READ_BIT + "0100" + named(f"%MX{word_number}{bit:X}")) == old
        assert body_of(hexadecimal, READ_BIT + "0100" + named(f"%DX{word_number}.{bit:X}"))[:4] == "5500"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (READ_WORD + "1100" + named("%DW1") * 17, 1),
        (READ_WORD + "0000", 1),
        (READ_BLOCK + "0200" + named("%DB0") * 2 + "0200", 1),
        ("540007000000" + "0100" + named("%DW1"), 2),
        (READ_WORD + "0100" + named("%DB2"), 2),
        (READ_BLOCK + "0100" + named("%DW2") + "0200", 2),
        (READ_WORD + "0100" + named("%IW1"), 3),
        (READ_WORD + "0100" + named("%DW32768"), 4),
        (READ_BLOCK + "0100" + named("%DB65534") + "0400", 4),
        (READ_WORD + "0100" + named("%DW1A"), 4),
        (READ_WORD + "0100" + named("DW10"), 4),
        (READ_BIT + "0100" + named("%MX1F"), 4),
        (READ_BLOCK + "0100" + named("%DB0") + "7905", 5),
        (READ_BLOCK + "0100" + named("%DB0") + "0000", 5),
        (READ_WORD + "0100" + named("%DW1") + "00", 0x76),
        (READ_WORD + "0200" + named("%DW1"), 0x76),
        (READ_WORD + "0100" + named("%DW00000000000001"), 0x76),
        (READ_BLOCK + "0100" + named("%DB0"), 0x76),
        ("5400", 0x76),
        ("B0000000000000", 0x76),
        ("560002000000" + "0100" + named("%DW1"), 0x78),
    ],
)
def test_a_malformed_request_gets_its_code(body: str, code: int) -> None:
    reply = bytes.fromhex(body_of(world(), body))
    assert reply[0] == (bytes.fromhex(body)[0] + 1) & 0xFF
    assert reply[6:8] == b"\xff\xff"
    assert int.from_bytes(reply[8:], "little") == code
    assert len(reply) == 10
    assert len(bytes.fromhex(body_of(world(nak_bytes=1), body))) == 9


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"header": HEADER.replace("4C53", "4C47")}, 0x75),
        ({"header": HEADER.replace("A033", "A011")}, 0x75),
        ({"header": HEADER.replace("A033", "A433")}, 0x75),
        ({"bcc": 0x11}, 0x77),
    ],
)
def test_a_wrong_header_gets_its_code(changes: dict[str, object], code: int) -> None:
    wire = frame(READ_WORD + "0100" + named("%DW1"), **changes)  # type: ignore[arg-type]
    reply = answer(world(), wire).data
    assert reply[28:30] == bytes((code, 0))


@pytest.mark.parametrize("changes", [{"bcc": 0}, {"header": HEADER.replace("A033", "0033")}])
def test_a_checksum_and_a_cpu_of_zero_are_taken(changes: dict[str, object]) -> None:
    wire = frame(READ_WORD + "0100" + named("%DW1"), **changes)  # type: ignore[arg-type]
    assert answer(world(), wire).data[26:28] == b"\0\0"


@pytest.mark.writes
def test_without_leave_a_write_is_refused_and_counted() -> None:
    plc = world()
    assert body_of(plc, "580002000000" + "0100" + named("%DW1") + "02003412") == "590002000000ffff7800"
    assert plc.counters.write_requests == 1


@pytest.mark.writes
def test_what_is_written_stands_over_the_formula_and_is_counted() -> None:
    plc = world(writable=True)
    reply = body_of(plc, "580002000000" + "0200" + named("%DW1") + named("%MW2") + "02003412" + "02007856")
    assert reply == "59000200000000000200"
    assert body_of(plc, READ_WORD + "0100" + named("%DW1"))[-4:] == "3412"
    assert body_of(plc, READ_WORD + "0100" + named("%MW2"))[-4:] == "7856"
    assert body_of(plc, "580000000000" + "0100" + named("%DX17") + "010000") == "59000000000000000100"
    assert body_of(plc, READ_WORD + "0100" + named("%DW1"))[-4:] == "3412"
    assert body_of(plc, "580000000000" + "0100" + named("%DX16") + "010001") == "59000000000000000100"
    assert body_of(plc, READ_WORD + "0100" + named("%DW1"))[-4:] == "3512"
    assert body_of(plc, "580014000000" + "0100" + named("%DB2") + "0100ff") == "59001400000000000100"
    assert body_of(plc, READ_WORD + "0100" + named("%DW1"))[-4:] == "ff12"
    assert plc.counters.write_requests == 4
    assert body_of(plc, "580002000000" + "0100" + named("%DW1") + "0100ff")[-4:] == "7600"


def test_the_status_command_tells_version_and_state() -> None:
    """XGL-EFMT manual 8.2.5."""
    plc = world()
    reply = bytes.fromhex(body_of(plc, "B00000000000"))
    assert reply[:12].hex() == "b10000000000000000001800"
    assert len(reply) == 12 + 24
    assert reply[12 + 8 : 12 + 12].hex() == "01000000"
    plc.knows_status = False
    assert body_of(plc, "B00000000000") == "b10000000000ffff7800"


def test_faults_hit_what_they_concern_and_end() -> None:
    plc = world()
    plc.faults.add(Fault(FaultKind.REFUSE, code=4, area="D", ranges=((2, 3),), times=1))
    assert body_of(plc, READ_WORD + "0100" + named("%DW2"))[12:16] == "0000"
    assert body_of(plc, READ_WORD + "0200" + named("%DW0") + named("%DW1"))[12:20] == "ffff0400"
    assert body_of(plc, READ_WORD + "0100" + named("%DW1"))[12:16] == "0000"


async def test_orders_change_a_running_plc() -> None:
    async with Simulator(SimulatorConfig(series="xgi")) as simulator:
        assert (await obey(simulator, {"add": {"kind": "silence"}}))["fault"] == 1
        assert (await obey(simulator, {"remove": 1, "stats": True}))["write_requests"] == 0
        assert (await obey(simulator, {"state": "stop"}))["open"] == 0
        assert simulator.world.plc_info >> 8 == 2
        assert "error" in await answer_line(partial(obey, simulator), b'{"state": "asleep"}')
        assert "error" in await answer_line(partial(obey, simulator), b"nonsense")
