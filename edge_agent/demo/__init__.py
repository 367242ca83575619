"""`make demo`: three simulated PLCs, a centre and an agent as real processes, and a verdict on request.

The centre is started as a process like everything else; this package imports none of it.
"""

import asyncio
import sys

from edge_agent.demo.show import Show


def run(for_seconds: float | None, as_json: bool) -> int:
    """Runs until Ctrl-C, or for a time; the exit code.

    With a time the agent and the centre are each killed (SIGKILL) once on the way, and the code is 0 only
    if at least 95 % of the expected samples are at the centre, each equal to the simulator's formula,
    with no gap and no duplicate.
    """
    if for_seconds is not None and for_seconds < Show.SHORTEST_SECONDS:
        print(f"edge-agent: demo: give it at least {Show.SHORTEST_SECONDS:g}s", file=sys.stderr)
        return 2
    return asyncio.run(Show(for_seconds, as_json).run())
