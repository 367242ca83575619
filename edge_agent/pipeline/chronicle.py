"""What a connection's polls say of its link and units: their states, one log line down and one back."""

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.driver import Part, Reading
from edge_agent.pipeline.link import LinkState
from edge_agent.pipeline.unit import Unit
from edge_agent.runtime.logging import OutageLog


class Chronicle:
    def __init__(self, name: str, link: LinkState, outages: OutageLog, clock: Clock) -> None:
        self._name = name
        self._link = link
        self._outages = outages
        self._clock = clock

    def down(self, error: str) -> None:
        self._link.change("down", self._clock.wall_ms(), error)
        self._outages.down(self._name, "connection is down", error=error)

    def unit_failed(self, unit: Unit, error: str) -> None:
        if unit.failed(self._clock.monotonic(), error):
            self._outages.down(unit.unit_id, "unit does not answer", unit_id=unit.unit_id, error=error)

    def answered(self, unit: Unit, group: str, reading: Reading, seconds: float) -> None:
        self._link.note_latency(seconds)
        if self._link.state != "connected":
            self._link.change("connected", self._clock.wall_ms())
            self._outages.back(self._name, "connection is back")
        unit.answered(group, reading.errors, anything=_has_values(reading))
        self._outages.back(unit.unit_id, "unit answers again", unit_id=unit.unit_id)
        refused = (unit.unit_id, "refused")
        if unit.state == "refusing":
            self._outages.down(refused, "unit gives no value", unit_id=unit.unit_id, error=unit.error[:500])
        else:
            self._outages.back(refused, "unit gives values again", unit_id=unit.unit_id)


def _has_values(reading: Reading | Part) -> bool:
    if isinstance(reading, Reading) and reading.news is not None:
        return reading.alive or any(map(_has_values, reading.news))
    return bool(reading.row) or any(value is not None for value in reading.text or ())
