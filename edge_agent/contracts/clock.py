"""Time, injected: everything that measures or waits takes a `Clock`, and tests give it a fake one."""

from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds on a clock that only goes forward; for durations and deadlines."""
        ...

    def mono_ns(self) -> int:
        """The same clock in nanoseconds; what frames carry."""
        ...

    def wall_ms(self) -> int:
        """UTC milliseconds. May step either way: never used to order or to measure."""
        ...

    async def sleep(self, seconds: float) -> None: ...
