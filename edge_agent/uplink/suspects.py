"""Batches that the centre refused as invalid: tried alone, and given up only when others pass. Pure."""

from dataclasses import dataclass
from typing import Final

from edge_agent.wire import ranges
from edge_agent.wire.ranges import Ranges

STRIKES: Final = 3
# Between two strikes: what refuses a batch may be a fault of the centre that is repaired meanwhile.
RETRY_SECONDS: Final = 10.0
RETRY_MAX_SECONDS: Final = 900.0
# Above it nothing is noted any more: so many bad batches are a bad centre.
MOST: Final = 256


@dataclass(slots=True)
class _Suspect:
    strikes: int = 0
    passes: int = -1  # how many POSTs had succeeded at the last strike
    wait: float = RETRY_SECONDS
    retry_at: float = 0.0


class Suspects:
    """By (epoch number, seq). Three strikes, each after another batch passed."""

    def __init__(self) -> None:
        self._entries: dict[tuple[int, int], _Suspect] = {}
        self._passes = 0

    def refused(self, epoch_no: int, seq: int, now: float) -> bool:
        """Notes a refusal. True: enough, the batch is to be given up."""
        key = (epoch_no, seq)
        if key not in self._entries and len(self._entries) >= MOST:
            return False
        entry = self._entries.setdefault(key, _Suspect())
        if entry.passes != self._passes:
            entry.strikes += 1
            entry.passes = self._passes
            entry.wait = RETRY_SECONDS
        else:
            # Nothing has passed since: this says nothing about the batch.
            entry.wait = min(2 * entry.wait, RETRY_MAX_SECONDS)
        entry.retry_at = now + entry.wait
        return entry.strikes >= STRIKES

    def passed(self) -> None:
        """Some other batch was taken: so a refusal is the batch's fault and not the way's."""
        self._passes += 1

    def take_due(self, now: float) -> tuple[int, int] | None:
        """A suspect to try again, alone; it is not due again before this had time to end."""
        for key, entry in self._entries.items():
            if now >= entry.retry_at:
                entry.retry_at = now + entry.wait
                return key
        return None

    def next_due(self) -> float | None:
        return min((entry.retry_at for entry in self._entries.values()), default=None)

    def clear(self, epoch_no: int, seq: int) -> None:
        self._entries.pop((epoch_no, seq), None)

    def forget(self, epoch_no: int) -> None:
        """The epoch's batches have other names now."""
        self._entries = {key: entry for key, entry in self._entries.items() if key[0] != epoch_no}

    def of_epoch(self, epoch_no: int) -> Ranges:
        return ranges.of_numbers(seq for no, seq in self._entries if no == epoch_no) if self._entries else []
