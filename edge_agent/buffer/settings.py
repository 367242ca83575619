"""What the buffer needs of the configuration."""

from dataclasses import dataclass
from pathlib import Path

from edge_agent.wire.batch import MAX_COMPRESSED_BYTES


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """In seconds and bytes.

    has_sink: without a sink every batch counts as delivered, and stays as long as delivered ones do.
    drop_oldest: what goes when there is no room; else new samples are refused.
    batch_bytes: what the way to the sink takes of one batch, which is never split once it is stored.
    """

    path: Path
    flush_seconds: float = 1.0
    max_bytes: int = 2 << 30
    retain_seconds: float = 86400.0
    has_sink: bool = True
    min_free_bytes: int = 0
    drop_oldest: bool = True
    batch_bytes: int = MAX_COMPRESSED_BYTES
