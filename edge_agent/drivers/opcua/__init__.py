"""The OPC UA driver: subscriptions and polled groups of a server.

settings and address → plan (pure) → client, link and subscription (I/O) → notification, values and quality
(pure) → parts and rows. Nothing that this module imports needs the protocol's library: checking a config and
planning work without it. The simulator shares no code with any of these.
"""

from typing import Any, Final

from edge_agent.contracts.driver import Capability, Driver, DriverSpec
from edge_agent.drivers.opcua.plan import plan
from edge_agent.drivers.opcua.settings import OpcUaConnection
from edge_agent.drivers.opcua.target import target


def _factory(settings: Any) -> Driver:
    from edge_agent.drivers.opcua.client import OpcUaDriver

    return OpcUaDriver(settings)


SPEC: Final = DriverSpec(
    name="opcua",
    summary="OPC UA over TCP: subscriptions and polled groups, with status codes and the server's times",
    settings=OpcUaConnection,
    capabilities=frozenset({Capability.READ, Capability.SUBSCRIBE, Capability.WRITE, Capability.BROWSE}),
    plan=plan,
    factory=_factory,
    requires=("asyncua",),
    target=target,
)
