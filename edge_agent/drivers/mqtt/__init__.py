"""The MQTT driver: messages of a broker as values, plain, as JSON, or of Sparkplug B.

settings → plan (pure) → client and link (I/O) → inbox → payload or sparkplug and node → values (all pure).
"""

from typing import Final

from edge_agent.contracts.driver import Capability, Driver, DriverSpec
from edge_agent.drivers.mqtt.plan import plan
from edge_agent.drivers.mqtt.settings import MqttConnection


def _driver(settings: MqttConnection) -> Driver:
    """Imports aiomqtt and paho, which an agent without such connections must not load."""
    from edge_agent.drivers.mqtt.client import MqttDriver

    return MqttDriver(settings)


SPEC: Final = DriverSpec(
    name="mqtt",
    summary="MQTT 3.1.1 and 5: topics, JSON payloads and Sparkplug B as values",
    settings=MqttConnection,
    capabilities=frozenset({Capability.READ, Capability.SUBSCRIBE}),
    plan=plan,
    factory=_driver,
    requires=("aiomqtt",),
)
