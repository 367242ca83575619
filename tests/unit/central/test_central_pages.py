"""Cursors come back from clients, who may have changed them."""

import pytest

from central_sync.services.errors import Invalid
from central_sync.services.pages import decode_cursor, encode_cursor
from tests.unit.central.conftest import OpenHouse


def test_a_cursor_is_the_key_it_was_made_of() -> None:
    assert decode_cursor(encode_cursor([7, "a"]), int, str) == [7, "a"]
    assert decode_cursor(None, int) is None


@pytest.mark.parametrize("key", [[1 << 63], [-1], ["1"], [True], [1, 2], []])
def test_a_cursor_of_another_kind_or_beyond_all_numbers_is_refused(key: list[str | int]) -> None:
    with pytest.raises(Invalid):
        decode_cursor(encode_cursor(key), int)


async def test_a_cursor_beyond_all_numbers_is_a_400(open_house: OpenHouse) -> None:
    async with open_house() as house:
        cursor = encode_cursor([1 << 63])
        refused = await house.ask("GET", f"/api/fleet/devices/dev-1/events?cursor={cursor}")
        assert (refused.status, refused.json["code"]) == (400, "bad_cursor")
