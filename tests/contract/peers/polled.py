"""What the simulators of polled protocols have in common as peers of the contract suite."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edge_agent.wire.frame import JsonValue


class PolledPeer:
    """Values do not move, because the simulator's clock stands still. fault: the simulator's, of JSON."""

    timeout_seconds = 0.1
    subscribes = False
    source_times = False

    def __init__(self, simulator: Any, fault: Callable[[Mapping[str, Any]], Any]) -> None:
        self._simulator = simulator
        self._fault = fault

    async def start(self) -> None:
        await self._simulator.start()

    async def stop(self) -> None:
        await self._simulator.stop()

    def fail(self, kind: str, **more: Any) -> None:
        """Puts a fault in force."""
        self._simulator.faults.add(self._fault({"kind": kind, **more}))

    def be_silent(self) -> None:
        self.fail("silence")

    def answer_again(self) -> None:
        self._simulator.faults.clear()

    def be_late_once(self) -> None:
        self.fail("delay", seconds=1.5 * self.timeout_seconds, times=1)

    def freeze_connections(self) -> None:
        self._simulator.freeze_connections()

    def lose_write_reply(self) -> None:
        self.fail("lost_reply", writes=True, times=1)

    def kill_subscriptions(self) -> None:
        raise AssertionError("the protocol has no subscriptions")

    def change(self, values: Sequence[JsonValue]) -> None:
        raise AssertionError("the simulator sends nothing by itself")

    def requests(self) -> int:
        return int(self._simulator.counters.requests)

    def writes(self) -> int:
        return int(self._simulator.counters.write_requests)

    def source_ms(self, _group: int) -> int | None:
        return None
