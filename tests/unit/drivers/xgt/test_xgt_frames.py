"""Frames byte by byte, each from a source that is not this project."""

import pytest

from edge_agent.drivers.links import Garbage
from edge_agent.drivers.xgt import frames, status
from edge_agent.drivers.xgt.errors import DeviceError, Refused
from edge_agent.drivers.xgt.frames import BIT, COMPANY_IDS, WORD, Framing
from edge_agent.drivers.xgt.plan import Block, Item, Kind

COMPANY = COMPANY_IDS["LSIS-XGT"]
XGK = 0xA0
D, M = ord("D"), ord("M")


def framing(position: int = 3, series: int = XGK, invoke_id: int = 1) -> Framing:
    made = Framing(COMPANY, series, position)
    for _ in range(invoke_id - 1):
        made.request(b"")
    return made


def hexes(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize(
    ("body", "invoke_id", "wire"),
    [
        # FieldLink.Communication's tests: D100 as four bytes, and M172.C as the manual's 7.1 note 4 has it.
        (
            frames.read_bytes("%DB200", 4), 1,
            "4C5349532D58475400000000A033010012000344540014000000010006002544423230300400",
        ),
        (
            frames.read_names(BIT, ["%MX2764"]), 1,
            "4C5349532D58475400000000A03301001100034354000000000001000700254D5832373634",
        ),
        (
            frames.read_names(BIT, ["%MX2765"]), 2,
            "4C5349532D58475400000000A03302001100034454000000000001000700254D5832373635",
        ),
        # The same tests: 10 and 20 as two dwords from D102 on.
        (
            frames.write_bytes("%DB204", hexes("0A00000014000000")), 2,
            "4C5349532D58475400000000A03302001A00034D580014000000010006002544423230340800"
            "0A00000014000000",
        ),
        # Sent to a PLC, by a comment in Dsu.PLC.LS (F#), with a wrong checksum there: 40 instead of 44.
        (
            frames.read_names(WORD, ["%DW1000"]), 2,
            "4C5349532D58475400000000A0330200110003445400020000000100070025445731303030",
        ),
    ],
)  # fmt: skip
def test_requests_are_those_that_others_send(body: bytes, invoke_id: int, wire: str) -> None:
    assert framing(invoke_id=invoke_id).request(body) == hexes(wire)


@pytest.mark.parametrize(
    ("body", "wire"),
    [
        # Sent to an XGB by the scapy scripts of an ICS test bed, to switch %MX1 on.
        (frames.write_names(BIT, ["%MX1"], [b"\x01"]), "58000000000001000400254D5831010001"),
        # XGL-EFMT manual 8.2.5: the status request.
        (frames.read_status(), "B00000000000"),
        # XGL-EFMTB manual 8.2: all names come first, then all values.
        (
            frames.write_names(WORD, ["%MW100", "%DW10"], [hexes("1122"), hexes("3344")]),
            "58000200000002000600254D5731303005002544573130020011220200" "3344",
        ),
        # Block's own words for the same things.
        (Block.of(Kind.CONTINUOUS, (Item(D, 200, 204, 0),)).body, "540014000000010006002544423230300400"),
        (
            Block.of(Kind.WORDS, (Item(D, 2000, 2002, 0), Item(M, 19, 20, 1))).body,
            "540002000000020007002544573130303004" "00254D5739",
        ),
        (Block.of(Kind.CONTACTS, (Item(ord("T"), 5, 6, 0),)).body, "54000000000001000400255458" "35"),
    ],
)  # fmt: skip
def test_bodies_are_those_of_manuals_and_recordings(body: bytes, wire: str) -> None:
    assert body == hexes(wire)


# Received from PLCs: by Dsu.PLC.LS, and by HslCommunication's LSisServer (three words, three bits).
WORD_REPLY = "4C5349532D58475400000401A01102000E0000215500020000020000010002000000"
WORDS_REPLY = (
    "4C5349532D58475400000401A011010016 00022A" "55000200000000000300" "0200D426" "02003C34" "02007233"
)  # fmt: skip
BITS_REPLY = "4C5349532D58475400000401A01101001300022755000000000000000300010000010001010001"


def test_a_word_of_a_plc_that_fills_the_reserved_field_is_read() -> None:
    """The reserved field of this reply is 0x0200; its position is not the request's."""
    link = framing(invoke_id=2)
    request = frames.read_names(WORD, ["%DW1000"])
    wire = link.request(request)
    assert wire[14:16] == b"\x02\x00"
    reply = link.receive(hexes(WORD_REPLY))
    assert reply is not None
    frames.check(request, reply.body)
    assert frames.values_in(reply.body, 1, 2) == b"\0\0"
    record = status.record(reply.plc_info, reply.series, b"")
    assert status.product(record) == "XGK CPUE"
    assert status.STATE_NAMES[record[0]] == "run"


@pytest.mark.parametrize(
    ("wire", "kind", "count", "size", "data"),
    [(WORDS_REPLY, WORD, 3, 2, "D4263C347233"), (BITS_REPLY, BIT, 3, 1, "000101")],
)
def test_replies_of_plcs_give_their_values(wire: str, kind: int, count: int, size: int, data: str) -> None:
    link = framing()
    request = frames.read_names(kind, [f"%M{'XW'[kind // 2]}{number}" for number in range(count)])
    link.request(request)
    reply = link.receive(hexes(wire))
    assert reply is not None
    frames.check(request, reply.body)
    assert frames.values_in(reply.body, count, size) == hexes(data)


def test_a_block_is_read_as_the_manual_shows_it() -> None:
    """XGL-EFMTB manual 8.2.2 (3): six bytes 01 23 45 67 89 AB."""
    request = frames.read_bytes("%DB0", 6)
    body = hexes("5500140000000000010006000123456789AB")
    frames.check(request, body)
    assert frames.bytes_in(body, 6) == hexes("0123456789AB")


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ("550002000000FFFF21", 0x21, "no manual names"),  # XGL-EFMTB manual 8.2.1 (4): a code of one byte
        ("5500020000 00FF000400", 4, "behind the end"),  # the same, 10.4.1: 00FF, and a code of two bytes
        ("550000000000FFFF1200", 0x12, "no manual names"),  # a comment in a C# client, for %MX3200
        ("550002000000FFFF0100", 1, "16 blocks"),
        ("550002000000FFFF0300", 3, "no such area"),
        ("550002000000FFFF0500", 5, "max_bytes"),
        ("550002000000FFFF7500", 0x75, "company id"),
        ("550002000000FFFF7600", 0x76, "length"),
        ("550002000000FFFF7700", 0x77, "checksum"),
        ("550002000000FFFF7800", 0x78, "command"),
    ],
)
def test_refusals_are_told_in_words(body: str, code: int, text: str) -> None:
    with pytest.raises(Refused, match=text) as refusal:
        frames.check(frames.read_names(WORD, ["%DW0"]), hexes(body))
    assert refusal.value.code == code


@pytest.mark.parametrize(
    "body", ["", "54000200", "5900020000000000", "5500140000000000", "B10002000000FFFF0400"]
)
def test_a_reply_to_something_else_is_no_reply(body: str) -> None:
    with pytest.raises(DeviceError):
        frames.check(frames.read_names(WORD, ["%DW0"]), hexes(body))


@pytest.mark.parametrize(
    "body",
    [
        "55000200000000000100020011",  # cut short
        "550002000000000001000200112233",  # too long
        "550002000000000002000200112202003344",  # two values where one was asked for
        "55000200000000000100040011223344",  # another size
        "5500020000000000010001001122",  # the right length, another size
    ],
)
def test_values_of_another_number_or_size_are_refused(body: str) -> None:
    with pytest.raises(DeviceError):
        frames.values_in(hexes(body), 1, 2)


@pytest.mark.parametrize("body", ["550014000000000001000400", "55001400000000000100020001020304"])
def test_a_block_of_another_size_is_refused(body: str) -> None:
    with pytest.raises(DeviceError):
        frames.bytes_in(hexes(body), 4)


def test_a_reply_comes_in_pieces_and_behind_late_ones() -> None:
    link = framing(invoke_id=2)
    link.request(frames.read_names(WORD, ["%DW1000"]))
    late = hexes(WORDS_REPLY)  # to request 1
    stream = late + hexes(WORD_REPLY) + late[:5]
    found = [reply for at in range(len(stream)) if (reply := link.receive(stream[at : at + 1]))]
    assert [reply.body for reply in found] == [hexes(WORD_REPLY)[20:]]
    assert "request 1 instead of 2" in link.discarded
    assert not link.abandon()  # half a frame is left


def test_a_reply_counts_once_and_only_while_it_is_awaited() -> None:
    link = framing(invoke_id=2)
    link.request(frames.read_names(WORD, ["%DW1000"]))
    assert link.receive(hexes(WORD_REPLY) * 2) is not None
    assert link.receive(hexes(WORD_REPLY)) is None
    link.request(b"")
    assert link.receive(hexes(WORD_REPLY)) is None
    assert link.abandon()


@pytest.mark.parametrize(
    "change",
    [(0, b"LGIT"), (13, b"\x33"), (16, b"\xff\xff"), (16, b"\x02\x00"), (19, b"\x22")],
    ids=["company", "direction", "too long", "too short", "checksum"],
)
def test_a_header_that_cannot_be_one_makes_the_stream_useless(change: tuple[int, bytes]) -> None:
    at, value = change
    data = bytearray(hexes(WORD_REPLY))
    data[at : at + len(value)] = value
    link = framing(invoke_id=2)
    link.request(b"")
    with pytest.raises(Garbage):
        link.receive(bytes(data))


@pytest.mark.parametrize(("bcc", "check_sums"), [(0, True), (0x22, False)])
def test_a_checksum_may_be_absent_or_ignored(bcc: int, check_sums: bool) -> None:
    link = Framing(COMPANY, XGK, 0, check_sums=check_sums)
    link.request(b"")
    data = bytearray(hexes(WORD_REPLY))
    data[14], data[19] = 1, bcc
    assert link.receive(bytes(data)) is not None


def test_old_modules_are_addressed_by_their_own_name() -> None:
    wire = Framing(COMPANY_IDS["LGIS-GLOFA"], 0xB0, 0x12).request(frames.read_status())
    assert wire[:10] == b"LGIS-GLOFA"
    assert wire[12] == 0xB0
    assert wire[18] == 0x12  # base 1, slot 2
    assert wire[19] == sum(wire[:19]) & 0xFF


def test_invoke_ids_go_round_without_zero() -> None:
    link = framing()
    seen = [link.request(b"")[14:16] for _ in range(0xFFFF + 2)]
    assert b"\0\0" not in seen
    assert seen[0] == seen[0xFFFF] == b"\x01\x00"


def test_what_a_plc_tells_of_itself() -> None:
    """XGL-EFMT manual 8.2.5 (4) and (5): state, flags and version; PLC info as XGL-EFMF manual 7.1 has it."""
    data = hexes("0000000001A0000002000000010000000000000027030000")
    reply = hexes("B10000000000000000001800") + data
    frames.check(frames.read_status(), reply)
    assert frames.status_in(reply, status.STATUS_BYTES) == data
    record = status.record(0x01 | 0x80 | 0x04 << 8, 0xA4, data)
    assert record[:4] == bytes((4, 1, 1, 0xA4))
    assert status.product(record) == "XGI CPUH"
    assert status.version(record) == "3.39"
    with pytest.raises(DeviceError):
        frames.status_in(reply[:-1], status.STATUS_BYTES)
