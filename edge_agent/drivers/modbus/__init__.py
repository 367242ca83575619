"""The Modbus driver: stations over TCP, TLS, UDP and serial lines, and RTU frames through TCP.

settings → plan (pure) → client, link and framing (I/O) → harvest and decode (pure) → a row; split holds
what the driver learns about addresses that a station refuses; write (pure) is the way back. The simulator
shares no code with any of these.
"""

from typing import Final

from edge_agent.contracts.driver import Capability, DriverSpec
from edge_agent.drivers.modbus.client import ModbusDriver
from edge_agent.drivers.modbus.plan import plan
from edge_agent.drivers.modbus.settings import ModbusConnection
from edge_agent.drivers.modbus.write import target

SPEC: Final = DriverSpec(
    name="modbus",
    summary="Modbus over TCP, TLS, UDP and serial lines, and RTU frames over TCP",
    settings=ModbusConnection,
    capabilities=frozenset({Capability.READ, Capability.WRITE}),
    plan=plan,
    factory=ModbusDriver,
    target=target,
)
