"""What a serial line's physics take, and the plans that they forbid."""

from typing import Any

import pytest

from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers.modbus.plan import plan
from edge_agent.drivers.modbus.settings import ModbusConnection
from edge_agent.drivers.modbus.timing import SerialTiming
from edge_agent.drivers.modbus.transports import SerialTransport


def line(**settings: Any) -> SerialTransport:
    return SerialTransport.model_validate({"type": "serial", "port": "/dev/ttyUSB0", **settings})


@pytest.mark.parametrize(
    ("settings", "bits"),
    [
        ({}, 11),
        ({"parity": "none"}, 11),
        ({"parity": "none", "stop_bits": 1}, 10),
        ({"parity": "odd", "stop_bits": 2}, 12),
    ],
)
def test_a_character_has_start_parity_and_stop_bits(settings: dict[str, Any], bits: int) -> None:
    assert line(**settings).character_bits == bits


@pytest.mark.parametrize(
    ("baud", "milliseconds"), [(9600, 3.5 * 11 / 9.6), (19_200, 3.5 * 11 / 19.2), (38_400, 1.75)]
)
def test_the_silence_is_fixed_above_19200_baud(baud: int, milliseconds: float) -> None:
    assert SerialTiming.of(line(baud=baud)).silence_seconds * 1000 == pytest.approx(milliseconds)


def connection(*intervals: str, count: int = 125, **settings: Any) -> ModbusConnection:
    groups = [
        {
            "name": f"g{index}",
            "interval": interval,
            "tags": [{"name": f"t{index}", "address": "holding:0", "type": "uint16", "count": count}],
        }
        for index, interval in enumerate(intervals)
    ]
    transport = {"type": "serial", "port": "/dev/ttyUSB0", "baud": 9600, **settings}
    return ModbusConnection.model_validate(
        {"name": "line", "transport": transport, "groups": groups, "inter_request_delay": "10ms"}
    )


def test_a_request_takes_its_characters_and_silences() -> None:
    made = connection("1s")
    (request,) = plan(made, made.groups[0]).requests
    assert (request.sent_bytes, request.received_bytes) == (8, 255)
    assert request.bus_seconds == pytest.approx(0.010 + (8 + 255 + 2 * 3.5) * 11 / 9600)


def test_an_interval_shorter_than_the_wire_takes_is_refused() -> None:
    made = connection("300ms")
    with pytest.raises(ConfigError, match=r"group g0 of line: .* 319 ms on a line of 9600 baud.* 300 ms"):
        plan(made, made.groups[0])
    faster = connection("300ms", baud=19_200)
    assert plan(faster, faster.groups[0]).requests


def test_groups_that_share_the_line_must_fit_together() -> None:
    made = connection("500ms", "800ms")
    assert plan(made, made.groups[0]).requests
    with pytest.raises(ConfigError, match=r"groups of line together need 104 % of a line of 9600 baud"):
        plan(made, made.groups[1])
    slower = connection("500ms", "1s")
    assert plan(slower, slower.groups[1]).requests
