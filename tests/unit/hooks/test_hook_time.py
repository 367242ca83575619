"""What a call may take is bounded by the flush, whatever the script asks for."""

import pytest

from edge_agent.hooks.hook import Hook
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire.scripts import HookPoint, Script

FLUSH_SECONDS = 1.0
CALL_SECONDS = FLUSH_SECONDS / 4


@pytest.mark.parametrize(("timeout_ms", "seconds"), [(None, CALL_SECONDS), (100, 0.1), (60_000, 0.45)])
def test_no_script_gets_the_half_of_a_flush_that_all_of_them_have(
    timeout_ms: int | None, seconds: float
) -> None:
    """One that never ends is then cut off by its own time and not by the flush's, and counts as failed."""
    script = Script(
        name="slow", hook_type=HookPoint.TRANSFORM, source="def transform(frame): pass", timeout_ms=timeout_ms
    )
    assert Hook(script, ManualClock()).seconds(CALL_SECONDS) == pytest.approx(seconds)
