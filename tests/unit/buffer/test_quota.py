"""How much the buffer may take: the quota covers all of it; others' files end growth, never collection."""

from dataclasses import replace

import pytest

from edge_agent.buffer.pages import PAGE_BYTES
from edge_agent.buffer.quota import Quota, Space, pages_for

MIB = 1 << 20
GIB = 1 << 30
LARGE_DISK = Space(free=100 * GIB, total=200 * GIB)


@pytest.mark.parametrize("max_bytes", [MIB, 4 * MIB, 64 * MIB, 2 * GIB])
def test_database_log_ballast_and_quarantine_together_stay_within_the_quota(max_bytes: int) -> None:
    quota = Quota(max_bytes)
    space = replace(LARGE_DISK, aside=max_bytes // 8)
    limit = quota.database_limit(space)
    assert limit >= max_bytes // 4
    assert limit + 2 * quota.wal_bytes + quota.ballast_bytes + space.aside <= max_bytes


def test_a_disk_that_is_smaller_than_the_quota_is_the_quota() -> None:
    space = Space(free=4 * MIB, total=4 * MIB)
    assert Quota(2 * GIB).on(space.total).max_bytes == 4 * MIB
    limit = Quota(2 * GIB, 256 * MIB).database_limit(space)
    assert MIB < limit < 3 * MIB


def test_the_floor_of_free_space_ends_growth_and_not_collection() -> None:
    quota = Quota(2 * GIB, 256 * MIB)
    full = Space(100 * MIB, 3 * MIB, 4 * MIB, 0, 4 * MIB, free=200 * MIB, total=100 * GIB)
    assert quota.database_limit(full) == full.database
    assert quota.lacking(full, MIB // 2, records=True) == 0
    assert quota.lacking(full, 4 * MIB, records=True) == MIB
    assert quota.surplus_pages(full) == 0


def test_a_full_disk_without_ballast_leaves_the_database_what_it_has() -> None:
    full = Space(100 * MIB, MIB, 4 * MIB, 0, 0, free=0, total=GIB)
    assert Quota(2 * GIB).database_limit(full) == full.database


def test_frames_leave_room_for_loss_records() -> None:
    quota = Quota(64 * MIB)
    limit = quota.database_limit(LARGE_DISK)
    full = replace(LARGE_DISK, database=limit)
    assert quota.lacking(full, PAGE_BYTES) > PAGE_BYTES
    almost = replace(full, reusable=MIB)
    assert quota.lacking(almost, MIB, records=True) == 0
    assert quota.lacking(almost, MIB) > 0


def test_pages_are_given_back_when_the_quota_was_made_smaller() -> None:
    quota = Quota(64 * MIB)
    large = replace(LARGE_DISK, database=128 * MIB, reusable=100 * MIB)
    excess = 128 * MIB - quota.database_limit(large)
    assert quota.surplus_pages(large) == excess // PAGE_BYTES
    assert quota.surplus_pages(replace(large, reusable=PAGE_BYTES)) == 1
    assert quota.lacking(replace(large, reusable=0), PAGE_BYTES) > excess


def test_room_is_made_in_chunks() -> None:
    quota = Quota(2 * GIB)
    assert quota.chunk(LARGE_DISK, 1) == 8 * MIB
    assert quota.chunk(LARGE_DISK, 20 * MIB) == 20 * MIB
    assert Quota(MIB).chunk(LARGE_DISK, 1) == Quota(MIB).database_limit(LARGE_DISK) // 64


@pytest.mark.parametrize("size", [0, 1, 3000, 4000, 4096, 100_000])
def test_a_rows_pages_are_at_least_its_bytes(size: int) -> None:
    assert pages_for(size) >= size + 100
