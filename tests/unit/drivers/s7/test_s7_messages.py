"""Messages byte by byte, after the layout that Wireshark and libnodave have, and beside python-snap7's."""

import pytest
from snap7.datatypes import S7Area, S7WordLen
from snap7.s7protocol import S7Protocol

from edge_agent.drivers.links import Garbage
from edge_agent.drivers.s7 import messages, szl
from edge_agent.drivers.s7.address import Area
from edge_agent.drivers.s7.blocks import Block, Items
from edge_agent.drivers.s7.errors import DeviceError, Refusal

NOTHING = Items.of(())
DB1 = Block(Area.DB, 1, 2, 4, NOTHING)
ODD = Block(Area.MARKER, 0, 10, 1, NOTHING)
TIMER = Block(Area.TIMER, 0, 5, 1, NOTHING)


def test_the_connection_request() -> None:
    assert messages.connect_request(b"\x01\x00", b"\x01\x02").hex(" ") == (
        "03 00 00 16 11 e0 00 00 00 01 00 c1 02 01 00 c2 02 01 02 c0 01 0a"
    )


def test_the_setup() -> None:
    made = messages.envelope(messages.setup_request(0x0400, 480))
    assert made.hex(" ") == ("03 00 00 19 02 f0 80 32 01 00 00 04 00 00 08 00 00 f0 00 00 04 00 04 01 e0")
    reply = bytes.fromhex("3203000004000008000000 00 f0 00 0001 0001 00f0")
    assert messages.setup_reply(reply) == (240, 1)


def test_a_read_of_one_range() -> None:
    made = messages.envelope(messages.read_request(1, [DB1]))
    assert made.hex(" ") == (
        "03 00 00 1f 02 f0 80 32 01 00 00 00 01 00 0e 00 00 04 01 12 0a 10 02 00 04 00 01 84 00 00 10"
    )


def test_a_read_of_several() -> None:
    made = messages.read_request(7, [DB1, ODD, TIMER])
    assert made[10:].hex(" ") == (
        "04 03 12 0a 10 02 00 04 00 01 84 00 00 10 12 0a 10 02 00 01 00 00 83 00 00 50 "
        "12 0a 10 1d 00 01 00 00 1d 00 00 05"
    )
    reply = bytes.fromhex(
        "320300000007 0002 0015 0000 0403 ff04002001020304 ff04000855 00 ff0900021234".replace(" ", "")
    )
    assert messages.read_reply(reply, [DB1, ODD, TIMER]) == [b"\1\2\3\4", b"\x55", b"\x12\x34"]


def test_a_refused_item_has_its_code_alone() -> None:
    reply = bytes.fromhex("320300000007 0002 000c 0000 0402 0a000000 ff04002001020304".replace(" ", ""))
    assert messages.read_reply(reply, [ODD, DB1]) == [0x0A, b"\1\2\3\4"]


def test_an_error_of_the_header_is_the_cpu_s_no() -> None:
    reply = bytes.fromhex("32020000000700000000 8104".replace(" ", ""))
    with pytest.raises(Refusal, match="PUT/GET") as caught:
        messages.read_reply(reply, [DB1])
    assert caught.value.is_config


@pytest.mark.parametrize(
    "reply",
    [
        "320300000007000200080000 0401 ff040018010203",  # three bytes of four
        "320300000007000200080000 0401 ff0400200102",  # cut short
        "320300000007000200080000 0402 ff04002001020304",  # two items
        "320300000007000200080000 0501 ff04002001020304",  # to a write
        "3207000000070002000800000401ff04002001020304",
    ],
)
def test_a_reply_to_something_else_is_no_value(reply: str) -> None:
    with pytest.raises(DeviceError):
        messages.read_reply(bytes.fromhex(reply), [DB1])


def test_a_bit_is_written_as_a_bit() -> None:
    made = messages.write_request(3, Area.DB, 1, 2, 5, b"\1")
    assert made.hex(" ") == (
        "32 01 00 00 00 03 00 0e 00 05 05 01 12 0a 10 01 00 01 00 01 84 00 00 15 00 03 00 01 01"
    )


def test_bytes_are_written_as_bytes() -> None:
    made = messages.write_request(3, Area.MARKER, 0, 20, None, b"\x12\x34")
    assert made.hex(" ") == (
        "32 01 00 00 00 03 00 0e 00 06 05 01 12 0a 10 02 00 02 00 00 83 00 00 a0 00 04 00 10 12 34"
    )
    assert messages.write_reply(bytes.fromhex("320300000003 0002 0001 0000 0501 ff".replace(" ", ""))) == 0xFF
    assert messages.write_reply(bytes.fromhex("320300000003 0002 0001 0000 0501 05".replace(" ", ""))) == 5


def test_messages_are_put_together_from_fragments_and_pieces() -> None:
    assembler = messages.Assembler()
    stream = bytes.fromhex("03000009 02f000 3203" + "0300000a 02f080 000001" + "0300000702f080")
    found = []
    for at in range(len(stream)):
        found += assembler.feed(stream[at : at + 1])
    assert found == [(True, bytes.fromhex("3203000001")), (True, b"")]
    assert assembler.untouched


@pytest.mark.parametrize("stream", ["0400000702f080", "03000003", "0300000805f08000"])
def test_what_is_no_message_is_garbage(stream: str) -> None:
    with pytest.raises(Garbage):
        messages.Assembler().feed(bytes.fromhex(stream))


def test_a_refused_connection_says_what_it_may_be() -> None:
    with pytest.raises(DeviceError, match="rack, slot"):
        messages.check_confirm(bytes.fromhex("0680000100020300"))


def test_a_system_status_list() -> None:
    """SZL 0x0424 of a CPU that runs, as snap7's server gives it."""
    assert szl.request(2, 0x0424).hex(" ") == (
        "32 07 00 00 00 02 00 08 00 08 00 01 12 04 11 44 01 00 ff 09 00 04 04 24 00 00"
    )
    body = "0424000000140001" + "5100ff08" + "00" * 16
    reply = "32070000000200 0c 0020 000112081284010000000000 ff09001c" + body
    data, more = szl.reply(bytes.fromhex(reply.replace(" ", "")))
    assert more is None
    assert szl.operating_state(data) == 8


def test_who_a_cpu_is() -> None:
    order = b"6ES7 315-2EH14-0AB0 "
    module = bytes.fromhex("00110000001c0001" + "0001") + order + bytes.fromhex("00c056030206")
    component = bytes.fromhex("001c000000220002")
    component += b"\0\4" + b"Original Siemens Equipment".ljust(32, b"\0")
    component += b"\0\7" + b"CPU 315-2 PN/DP".ljust(32, b"\0")
    found = szl.identity(module, component)
    assert found is not None
    assert found.vendor == "Original Siemens Equipment"
    assert found.product == "6ES7 315-2EH14-0AB0 (CPU 315-2 PN/DP)"
    assert found.revision == "V3.2.6"
    assert szl.identity(b"", b"") is None


def test_an_encoder_of_others_makes_the_same_requests() -> None:
    """python-snap7 3.3: all but the reference, and how many jobs the setup offers."""
    other = S7Protocol()

    def same(mine: bytes, theirs: bytes) -> bool:
        return mine[:4] + mine[6:] == theirs[:4] + theirs[6:]

    ranges = [(0x84, 1, 2, 4), (0x83, 0, 10, 1)]
    assert same(messages.read_request(1, [DB1, ODD]), other.build_multi_read_request(ranges))
    assert same(messages.read_request(1, [DB1]), other.build_read_request(S7Area.DB, 1, 2, S7WordLen.BYTE, 4))
    assert same(
        messages.read_request(1, [TIMER]), other.build_read_request(S7Area.TM, 0, 5, S7WordLen.TIMER, 1)
    )
    assert same(
        messages.write_request(1, Area.DB, 7, 20, None, b"\1\2\3"),
        other.build_write_request(S7Area.DB, 7, 20, S7WordLen.BYTE, b"\1\2\3"),
    )
    assert same(szl.request(1, 0x11, 1), other.build_read_szl_request(0x11, 1))
    assert same(szl.next_request(1, 9), other.build_userdata_followup_request(4, 1, 9))
    setup = other.build_setup_communication_request(messages.JOBS, messages.JOBS, 480)
    assert same(messages.setup_request(1, 480), setup)
