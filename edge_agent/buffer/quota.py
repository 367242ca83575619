"""How much the buffer may take of its disk, and how much of that is left. Pure.

The quota covers everything that the buffer puts on the disk: the database's pages, its write-ahead log,
damaged files kept aside and the ballast. The log gets its room in advance, because a commit that finds
none fails; the ballast is a file without use that is given up when the disk is full all the same, so that
there is room to make room. A disk smaller than `max_bytes` is the quota. The floor of free space ends
growth, not collection: then only pages that the database has already are used again.
"""

from dataclasses import dataclass
from typing import Final

from edge_agent.buffer.pages import PAGE_BYTES

MAX_WAL_BYTES: Final = 4 << 20
_LEAST_WAL_BYTES: Final = 16 * PAGE_BYTES
# An empty database, and enough beside it to write down what was lost.
_LEAST_DATABASE_BYTES: Final = 48 * PAGE_BYTES
# The floor never takes more than this part of a small disk.
_FLOOR_SHARE: Final = 8
# What goes at once when room is made: many small deletions would each write a loss record.
_CHUNK_SHARE: Final = 64
_LARGEST_CHUNK_BYTES: Final = 8 << 20
# Of the database's limit: frames leave it to loss records, which must always fit.
_RECORDS_SHARE: Final = 32
# A row's other columns, its index entry, and the rest of the last page.
_ROW_BYTES: Final = 160
_OVERFLOW_BYTES: Final = PAGE_BYTES - 4


@dataclass(frozen=True, slots=True)
class Space:
    """What is on the disk at one moment, in bytes.

    database: pages that the database has. reusable: of these, free ones. wal: size of the log's file.
    aside: damaged files that are kept. ballast: as it is now. free, total: of the file system.
    """

    database: int = 0
    reusable: int = 0
    wal: int = 0
    aside: int = 0
    ballast: int = 0
    free: int = 1 << 62
    total: int = 1 << 62

    @property
    def used(self) -> int:
        return self.database + self.wal + self.aside + self.ballast


@dataclass(frozen=True, slots=True)
class Quota:
    """The two limits of the configuration, in bytes."""

    max_bytes: int = 2 << 30
    min_free_bytes: int = 0

    def on(self, total: int) -> "Quota":
        """The quota on a file system of this size."""
        return Quota(min(self.max_bytes, total), min(self.min_free_bytes, total // _FLOOR_SHARE))

    @property
    def wal_bytes(self) -> int:
        """Size of the log at which it is written back into the database."""
        return max(_LEAST_WAL_BYTES, min(MAX_WAL_BYTES, self.max_bytes // 8))

    @property
    def ballast_bytes(self) -> int:
        """Enough to write the log back once, and to delete something afterwards."""
        return self.wal_bytes

    def database_limit(self, space: Space) -> int:
        """How large the database may be. Below what it is: the quota was made smaller."""
        quota = self.on(space.total)
        wal = max(2 * quota.wal_bytes, space.wal)
        by_quota = quota.max_bytes - wal - quota.ballast_bytes - space.aside
        still_to_come = max(0, quota.wal_bytes - space.wal) + max(0, quota.ballast_bytes - space.ballast)
        # It never shrinks for others: what it gave back, they would take.
        by_disk = space.database + max(0, space.free - quota.min_free_bytes - still_to_come)
        return max(_LEAST_DATABASE_BYTES, min(by_quota, by_disk))

    def lacking(self, space: Space, needed: int, *, records: bool = False) -> int:
        """Bytes to be freed before `needed` bytes of pages fit; 0 where they do.

        records: they are loss records, which may use what is kept for them.
        """
        limit = self.database_limit(space)
        kept = 0 if records else limit // _RECORDS_SHARE
        return max(0, needed - (space.reusable + limit - space.database - kept))

    def chunk(self, space: Space, lacking: int) -> int:
        """How much to free where `lacking` bytes are."""
        return max(lacking, min(self.database_limit(space) // _CHUNK_SHARE, _LARGEST_CHUNK_BYTES))

    def surplus_pages(self, space: Space) -> int:
        """Free pages that are to be given back to the file system."""
        return max(0, min(space.reusable, space.database - self.database_limit(space))) // PAGE_BYTES


def pages_for(body_bytes: int) -> int:
    """The most bytes of pages that a row with a body of this size takes: a tree of pages is not full."""
    return (body_bytes + _ROW_BYTES + _OVERFLOW_BYTES - 1) // _OVERFLOW_BYTES * PAGE_BYTES + PAGE_BYTES // 2
