"""What is counted of the ways by which agents reach the centre beside HTTP."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class MqttFigures:
    """connected: whether the broker is there and the subscriptions stand. requests: answered ones by channel
    and status. dropped: messages that got no answer, by the reason."""

    connected: bool = False
    reconnects: int = 0
    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    queued: int = 0
