"""Jobs into packets, and out of the bytes that come back the one answer that belongs to a job. Pure.

An answer names its job by the PDU reference. A CPU takes as many unanswered jobs as it said in the
handshake, often one; those that nobody waits for any more are `open_jobs` until their answer comes.
"""

from typing import Final

from edge_agent.drivers.links import Garbage
from edge_agent.drivers.s7 import messages

_REFERENCES: Final = 0xFFFF


class Framing:
    """Implements links.Framing. Until it is `confirmed`, requests and replies are COTP packets.

    jobs: that may be unanswered.
    """

    names_replies = True

    def __init__(self) -> None:
        self.discarded = ""
        self.confirmed = False
        self.jobs = 1
        self.open_jobs: set[int] = set()
        self._assembler = messages.Assembler()
        self._reference = 0
        self._awaiting = False

    @property
    def is_full(self) -> bool:
        """The CPU takes no further job now."""
        return len(self.open_jobs) >= self.jobs

    @property
    def untouched(self) -> bool:
        return self._assembler.untouched

    def request(self, data: bytes) -> bytes:
        """data: an S7 PDU with any reference, which is replaced; before `confirmed` a COTP packet."""
        self._awaiting = True
        self.discarded = ""
        if not self.confirmed:
            return data
        self._reference = self._reference % _REFERENCES + 1
        while self._reference in self.open_jobs:
            self._reference = self._reference % _REFERENCES + 1
        return messages.envelope(data[:4] + self._reference.to_bytes(2) + data[6:])

    def receive(self, data: bytes) -> bytes | None:
        """The awaited answer: an S7 PDU, or before `confirmed` what COTP says. Raises Garbage."""
        answer = None
        for is_pdu, message in self._assembler.feed(data):
            if is_pdu is not self.confirmed:
                raise Garbage(
                    "the CPU answered before it confirmed the connection" if is_pdu
                    else "the CPU ended the connection"
                )  # fmt: skip
            if self._is_awaited(message):
                answer = message
                self._awaiting = False
        return answer

    def _is_awaited(self, message: bytes) -> bool:
        if not self.confirmed:
            return self._awaiting
        reference = messages.reference_of(message)
        if reference is None:
            return False
        if self._awaiting and reference == self._reference:
            return True
        self.discarded = f"an answer to job {reference} instead of {self._reference}"
        self.open_jobs.discard(reference)
        return False

    def abandon(self) -> bool:
        """The answer may come still, and is then known."""
        if self._awaiting:
            self.open_jobs.add(self._reference)
        self._awaiting = False
        return self.confirmed
