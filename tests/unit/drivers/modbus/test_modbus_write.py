"""Requests to write, byte by byte against the examples of the specification, and what replies mean.

Source: Modbus Application Protocol V1.1b3, the example tables of 6.5, 6.6, 6.11, 6.12 and 6.16.
"""

from typing import Any

import pytest

from edge_agent.contracts.errors import ConfigError, WriteRefused, WriteUnknown
from edge_agent.drivers.modbus.framing import RtuFraming, rtu_framer
from edge_agent.drivers.modbus.serial_framing import SerialFraming
from edge_agent.drivers.modbus.settings import ModbusConnection
from edge_agent.drivers.modbus.write import ModbusTarget, check_reply, decode, encode, target
from edge_agent.wire.frame import JsonValue


def target_of(transport: str = "tcp", write_function: str = "single", **tag: Any) -> ModbusTarget:
    where = {"port": "/dev/ttyUSB0"} if transport == "serial" else {"host": "192.0.2.1"}
    group = {"name": "g", "interval": "1s", "tags": [{"name": "t", **tag}]}
    connection = ModbusConnection.model_validate(
        {
            "name": "plc", "transport": {"type": transport, **where}, "write_function": write_function,
            "groups": [group],
        }
    )  # fmt: skip
    return target(connection, connection.groups[0], connection.groups[0].tags[0])


TEN_COILS: list[JsonValue] = [True, False, True, True, False, False, True, True, True, False]


@pytest.mark.parametrize(
    ("tag", "value", "pdu"),
    [
        ({"address": "coil:172"}, True, "05 00 ac ff 00"),
        ({"address": "coil:172"}, False, "05 00 ac 00 00"),
        ({"address": "00173"}, True, "05 00 ac ff 00"),
        ({"address": "holding:1"}, 3, "06 00 01 00 03"),
        ({"address": "coil:19", "count": 10}, TEN_COILS, "0f 00 13 00 0a 02 cd 01"),
        ({"address": "holding:1", "count": 2}, [10, 258], "10 00 01 00 02 04 00 0a 01 02"),
        # Bits 0, 2 and 5 of register 4 (the example's OR mask 0x0025), with the masks of exactly these bits.
        ({"address": "holding:4.0", "count": 3}, [True, False, True], "16 00 04 ff f8 00 05"),
        ({"address": "holding:4.15"}, True, "16 00 04 7f ff 80 00"),
        ({"address": "holding:4.15"}, False, "16 00 04 7f ff 00 00"),
        ({"address": "holding:4.0", "byte_order": "little"}, True, "16 00 04 fe ff 01 00"),
        ({"address": "coil:172", "write_function": "multiple"}, True, "0f 00 ac 00 01 01 01"),
        ({"address": "holding:1", "write_function": "multiple"}, 3, "10 00 01 00 01 02 00 03"),
        ({"address": "coil:172", "transport": "serial"}, True, "0f 00 ac 00 01 01 01"),
        ({"address": "holding:1", "transport": "serial"}, 3, "10 00 01 00 01 02 00 03"),
        ({"address": "holding:0", "type": "int16"}, -2, "06 00 00 ff fe"),
        ({"address": "holding:0", "type": "int16", "byte_order": "little"}, 1, "06 00 00 01 00"),
        ({"address": "holding:0", "type": "float32"}, 1.0, "10 00 00 00 02 04 3f 80 00 00"),
        (
            {"address": "holding:0", "type": "float32", "word_order": "little"}, 1.0,
            "10 00 00 00 02 04 00 00 3f 80",
        ),
        ({"address": "holding:0", "type": "string", "length": 3}, "AB", "10 00 00 00 02 04 41 42 00 00"),
        (
            {"address": "holding:0", "type": "string", "length": 4, "byte_order": "little"}, "ABC",
            "10 00 00 00 02 04 42 41 00 43",
        ),
    ],
)  # fmt: skip
def test_a_request_is_what_the_specification_says(tag: dict[str, Any], value: JsonValue, pdu: str) -> None:
    assert encode(target_of(**tag), value) == bytes.fromhex(pdu)


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ({"address": "discrete:1"}, "discrete is read only"),
        ({"address": "input:1"}, "input is read only"),
        ({"address": "holding:1", "count": 124}, "at most 123 addresses"),
        ({"address": "coil:1", "count": 1969}, "at most 1968 addresses"),
        ({"address": "holding:1.15", "count": 2}, "more than one register"),
        ({"address": "holding:1.1", "transport": "serial"}, "not written on a serial line"),
    ],
)
def test_what_can_never_be_written_is_refused_beforehand(tag: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        target_of(**tag)


@pytest.mark.parametrize(
    ("tag", "value", "said"),
    [
        ({"address": "holding:0"}, 65_536, "no uint16"),
        ({"address": "holding:0", "count": 2}, [1], "holds 2 values"),
        ({"address": "holding:0", "type": "string", "length": 2}, "ABC", "takes 3 bytes"),
        ({"address": "holding:0", "type": "string", "length": 2, "encoding": "ascii"}, "°", "characters"),
        ({"address": "holding:0", "type": "string", "length": 2}, 5, "no text"),
    ],
)
def test_a_value_that_does_not_fit_is_not_sent(tag: dict[str, Any], value: JsonValue, said: str) -> None:
    with pytest.raises(WriteRefused, match=said):
        encode(target_of(**tag), value)


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        ("05 00 ac ff 00", "05 00 ac ff 00"),
        ("06 00 01 00 03", "06 00 01 00 03"),
        ("0f 00 13 00 0a 02 cd 01", "0f 00 13 00 0a"),
        ("10 00 01 00 02 04 00 0a 01 02", "10 00 01 00 02"),
        ("16 00 04 00 f2 00 25", "16 00 04 00 f2 00 25"),
    ],
)
def test_a_reply_that_repeats_the_request_acknowledges_it(request_: str, reply: str) -> None:
    check_reply(bytes.fromhex(request_), bytes.fromhex(reply))
    with pytest.raises(WriteUnknown, match="does not repeat"):
        check_reply(bytes.fromhex(request_), bytes.fromhex(reply)[:-1] + b"\x77")


@pytest.mark.parametrize("code", [1, 2, 3, 6, 7, 8, 10, 99])
def test_the_stations_no_is_a_refusal(code: int) -> None:
    with pytest.raises(WriteRefused, match=rf"exception {code}\)"):
        check_reply(bytes.fromhex("06 00 01 00 03"), bytes((0x86, code)))


@pytest.mark.parametrize("code", [4, 5, 11])
def test_what_may_have_been_done_is_unknown(code: int) -> None:
    with pytest.raises(WriteUnknown, match=rf"exception {code}\)"):
        check_reply(bytes.fromhex("06 00 01 00 03"), bytes((0x86, code)))


def test_a_station_without_mask_write_is_not_written_in_another_way() -> None:
    with pytest.raises(WriteRefused, match="nothing else writes it alone"):
        check_reply(bytes.fromhex("16 00 04 ff f8 00 05"), bytes((0x96, 1)))


def test_what_was_written_reads_back_as_the_same() -> None:
    for tag, value in (
        ({"address": "holding:4.1", "count": 3, "byte_order": "little"}, [True, False, True]),
        ({"address": "coil:3", "count": 10}, TEN_COILS),
        ({"address": "holding:0", "type": "string", "length": 6, "byte_order": "little"}, "A°b"),
        ({"address": "holding:0", "type": "int64", "word_order": "little", "count": 2}, [-5, 1 << 40]),
    ):
        made = target_of(**tag)  # type: ignore[arg-type]
        pdu = encode(made, value)  # type: ignore[arg-type]
        data = pdu[5:] if made.bits else pdu[6:]
        assert decode(made, data) == value


@pytest.mark.parametrize("pdu", ["05 00 ac ff 00", "10 00 01 00 02", "16 00 04 00 f2 00 25"])
def test_rtu_replies_to_writes_have_their_own_lengths(pdu: str) -> None:
    frame = rtu_framer().encode(bytes.fromhex(pdu), 7, 0)
    framing = RtuFraming()
    framing.request(7, bytes.fromhex(pdu))
    found = [framing.receive(frame[at : at + 1]) for at in range(len(frame))]
    assert found == [None] * (len(frame) - 1) + [bytes.fromhex(pdu)]


def test_on_a_serial_line_an_echo_is_no_acknowledgement() -> None:
    """Which is why single values are written by 15 and 16 there: their replies are shorter than they."""
    request = encode(target_of("serial", address="holding:1"), 3)
    framing = SerialFraming()
    sent = framing.request(7, request)
    assert framing.receive(sent) is None
    assert framing.receive(rtu_framer().encode(request[:5], 7, 0)) == request[:5]
