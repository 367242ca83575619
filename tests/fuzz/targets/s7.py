"""Replies of S7 CPUs: TPKT and COTP, handshakes, reads, writes, system status lists; values; addresses."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from edge_agent.contracts.errors import WriteRefused
from edge_agent.drivers.links import Garbage
from edge_agent.drivers.s7 import messages, szl
from edge_agent.drivers.s7.address import Address, Area, parse
from edge_agent.drivers.s7.blocks import Block, Items
from edge_agent.drivers.s7.datatypes import TYPES, Form, number, s5time, text
from edge_agent.drivers.s7.decode import Place, RowProgram
from edge_agent.drivers.s7.errors import DeviceError
from edge_agent.drivers.s7.write import S7Target, decode, encode

_ITEMS: Final = Items.of(())
_ONE: Final = (Block(Area.DB, 1, 0, 4, _ITEMS),)
_THREE: Final = (*_ONE, Block(Area.MARKER, 0, 3, 1, _ITEMS), Block(Area.TIMER, 0, 5, 1, _ITEMS))
_FORMS: Final = tuple(Form)
_PROGRAM: Final = RowProgram.of(
    (
        Place(Form.S5TIME, ((0, 2),), 2), Place(Form.RAW, ((2, 6),), 4), Place(Form.BCD, ((6, 8),), 2),
        Place(Form.BIT, (), 1, (65, 70)), Place(Form.STRING, ((9, 15),), 6, (), "latin-1"),
        Place(Form.DTL, ((15, 27),), 12), Place(Form.WSTRING, ((27, 31), (31, 37)), 10),
    ),
    37,
)  # fmt: skip
# Bytes of a value, where a plan never hands over others.
_SIZES: Final = {Form.DATE: 2, Form.DT: 8, Form.LDT: 8}
_ROW_BYTES: Final = 4 + 4 + 2 + 2
_ACK: Final = "32030000000100020008000004"

SEEDS: Final[Sequence[bytes]] = (
    b"\x00" + bytes.fromhex("0300001902f080" + _ACK + "01ff04002001020304")[:25],
    b"\x00" + bytes.fromhex("0300001402f08032030000000100080000810400f0"),
    b"\x01" + bytes.fromhex(_ACK + "01ff04002001020304"),
    b"\x01" + bytes.fromhex("32030000000100020011000004" + "03ff0400200102030405000000ff0900021234"),
    b"\x02" + bytes.fromhex("32070000000100 0c 0020 000112081284010100000000 ff09001c 00110000001c0001 0001")
    + b"6ES7 315-2EH14-0AB0 " + bytes.fromhex("00c056030206"),
    b"\x03" + bytes.fromhex("210041200000012340") + b"\x04\x03abc "
    + bytes.fromhex("07ea0b1507010203075bcd15 0003000200410042 0000"),
    b"\x04\x00DB1.DBB8:STRING[20]", b"\x04\x01P#DB5.DBX10.0:DTL", b"\x04\x00EW4", b"\x04\x00T5:S5TIME",
    b"\x05\x07\x26\x11\x21\x12\x34\x56\x78\x97",
    b"\x06\x00\x0512345",
)  # fmt: skip


def target(data: bytes) -> None:
    """The first byte says which decoder takes the rest."""
    if data:
        _DECODERS[data[0] % len(_DECODERS)](data[1:])


def _stream(data: bytes) -> None:
    whole, halves = _messages([data]), _messages([data[: len(data) // 2], data[len(data) // 2 :]])
    assert whole == halves
    for is_pdu, message in whole:
        with suppress(DeviceError, Garbage):
            if not is_pdu:
                messages.check_confirm(message)
            else:
                _reply(message)


def _messages(parts: Sequence[bytes]) -> list[tuple[bool, bytes]]:
    assembler = messages.Assembler()
    found: list[tuple[bool, bytes]] = []
    for part in parts:
        try:
            found += assembler.feed(part)
        except Garbage:
            return []
    return found


def _reply(pdu: bytes) -> None:
    """As the link and the client take a PDU: first whose it is, then what it says."""
    try:
        messages.reference_of(pdu)
    except Garbage:
        return
    for blocks in (_ONE, _THREE):
        with suppress(DeviceError):
            answers = messages.read_reply(pdu, blocks)
            assert len(answers) == len(blocks)
            for block, answer in zip(blocks, answers, strict=True):
                assert isinstance(answer, int) or len(answer) == block.nbytes
    with suppress(DeviceError):
        granted, _ = messages.setup_reply(pdu)
        assert 0 <= granted <= 0xFFFF
    with suppress(DeviceError):
        assert 0 <= messages.write_reply(pdu) <= 0xFF


def _list(data: bytes) -> None:
    with suppress(DeviceError):
        found, _ = szl.reply(data)
        with suppress(DeviceError):
            assert 0 <= szl.operating_state(found) <= 15
        identity = szl.identity(found, found)
        assert identity is None or (identity.vendor + identity.product).isprintable()


def _row(data: bytes) -> None:
    payload = data[: _PROGRAM.payload_bytes].ljust(_PROGRAM.payload_bytes, b"\0")
    row, _ = _PROGRAM.row(payload)
    assert len(row) == _ROW_BYTES
    texts, bad = _PROGRAM.text(payload)
    assert all((each is None) == (index in bad) for index, each in enumerate(texts))


def _address(data: bytes) -> None:
    if not data:
        return
    try:
        written = data[1:].decode()
        place = parse(written, carry=bool(data[0] & 1))
    except ValueError:
        return
    assert 0 <= place.number <= 65_535
    assert place.area is Area.CPU or _same(parse(str(place)), place)


def _same(one: Address, other: Address) -> bool:
    return (one.area, one.db, one.number, one.bit, one.type, one.length) == (
        other.area, other.db, other.number, other.bit, other.type, other.length,
    )  # fmt: skip


def _value(data: bytes) -> None:
    if not data:
        return
    form = _FORMS[data[0] % len(_FORMS)]
    size = _SIZES.get(form, 12)
    rest = data[1 : 1 + size].ljust(size, b"\0")
    with suppress(ValueError, OverflowError):
        if form.is_text:
            assert isinstance(text(form, rest, "latin-1"), str)
        elif form.is_number:
            found = number(form, rest[:2])
            assert form is Form.BCD or number(form, s5time(found)) == found


def _written(data: bytes) -> None:
    """What is written is read back."""
    if len(data) < 2:
        return
    kind = list(TYPES.values())[data[0] % len(TYPES)]
    if kind.form in (Form.DATE, Form.DT, Form.DTL, Form.LDT):
        return
    place = Address(Area.DB, 1, 0, data[1] % 8, kind, 5 if kind.character else 0)
    text_ = data[2:].decode("latin-1")
    value = text_ if kind.form.is_text else int.from_bytes(data[2:10], signed=bool(data[1] & 8))
    made = S7Target(place, 1, "latin-1", 240)
    try:
        change = encode(made, value)
    except WriteRefused:
        return
    if kind.form is Form.BIT:
        return
    declared = {Form.STRING: b"\x05", Form.WSTRING: b"\x00\x05"}.get(kind.form, b"")
    held = (declared + change.data).ljust(made.block.nbytes, b"\0")
    back = decode(made, held)
    if isinstance(value, str):
        assert isinstance(back, str)
        assert back.rstrip("\0") == value.rstrip("\0")
    elif kind.value.is_float:
        assert back is not None
    else:
        assert back == value


_DECODERS: Final = (_stream, _reply, _list, _row, _address, _value, _written)
