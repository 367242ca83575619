from typing import Any

import pytest

from edge_agent.runtime.clock import sync_state


def _answering(code: int, status: int) -> Any:
    def read(timex: Any) -> int:
        assert timex.modes == 0, "anything else would set the clock"
        timex.status = status
        return code

    return read


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        (0, 0x0001, True),  # TIME_OK, STA_PLL
        (5, 0x0040, False),  # TIME_ERROR, STA_UNSYNC
        (5, 0x2001, True),  # TIME_ERROR for a reason of PPS, yet disciplined
        (-1, 0x0000, None),  # EPERM in a sandbox
    ],
)
def test_sync_state_follows_the_kernel(code: int, status: int, expected: bool | None) -> None:
    assert sync_state(_answering(code, status)) is expected


def test_this_machine_answers() -> None:
    assert sync_state() in (True, False, None)
