"""The buffer as a sink's client sees it: named batches to send, and what became of them.

Batches are named (epoch number, seq). Acknowledgements are remembered in memory at once and on disk with
a later commit; one that is forgotten in a crash only sends a batch again.
"""

from typing import Final, Protocol

from edge_agent.wire.messages import Head
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.upload import BatchItem

CENTRAL_SINK: Final = 1


class Outbox(Protocol):
    @property
    def current_epoch(self) -> int:
        """Number of the epoch that new batches are named in; 0 as long as the buffer could not be opened:
        then there is nothing to send, and no epoch to announce."""
        ...

    def heads(self) -> list[Head]:
        """The account of each epoch that has batches, delivered or not, the current one last."""
        ...

    def head(self, epoch_no: int) -> Head: ...

    def held(self, epoch_no: int) -> Ranges:
        """Seqs that are stored and not yet delivered, ascending."""
        ...

    def urgent(self) -> Ranges:
        """Undelivered seqs of the current epoch that hold losses or events."""
        ...

    def committed_at(self, epoch_no: int, seq: int) -> float | None:
        """When a recent batch was committed (monotonic seconds); None where that was long ago."""
        ...

    async def wait_for_commit(self, seen: int) -> int:
        """Counts the changes of what there is to send: commits, and what the sink lost. Returns the count
        as soon as it is not `seen`."""
        ...

    async def fetch(self, epoch_no: int, wanted: Ranges, max_bytes: int) -> list[BatchItem]:
        """The first batches of `wanted`, ascending, within `max_bytes`, but at least one. There may be fewer
        than would fit: those that are in memory come without the others.

        A batch that cannot be read any more is left out; the buffer accounts for it. None at all: all of
        them are gone, or nothing can be read at present; ask again later.
        """
        ...

    async def schema(self, name: str) -> bytes | None:
        """Canonical bytes of a schema by its SHA-256; None where it is not known."""
        ...

    def acknowledge(self, epoch_no: int, acked: Ranges) -> int:
        """These were stored by the sink. Returns how many batches that delivers newly."""
        ...

    async def reject(self, epoch_no: int, seq: int, why: str) -> None:
        """The sink refused this batch for good: it is kept aside and becomes a loss in one commit.

        Like `resend` and `rename`, raises `BufferFault` where that cannot be committed; nothing has
        changed then.
        """
        ...

    async def resend(self, epoch_no: int, missing: Ranges) -> None:
        """The sink lacks what it once acknowledged: sent again where retained, else a loss."""
        ...

    async def rename(self, epoch_no: int, seqs: Ranges) -> None:
        """The sink knows these names with other content: the undelivered batches among them move to a new
        epoch, which is the current one then. Nothing happens where this process began the epoch: nobody
        else can have used its names."""
        ...
