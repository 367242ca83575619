"""Counter roll-over: a total that goes on where the PLC's 16-bit counter begins again at 0.

config: {name: pieces-total, point: transform, file: hooks/counter_rollover.py, groups: [press1.fast]}

The total is kept in the state, which is committed with the values that it was computed from: it survives
restarts of the agent, and counts nothing twice.
"""

from holdfast_hooks import Frame, State

OUTPUTS = {"pieces_total": "uint64"}
SIZE = 65_536


def transform(frame: Frame, state: State) -> None:
    count = frame["pieces"]
    if count is None:
        return  # no total in this frame; the next one catches up
    state["total"] = state.get("total", 0) + (count - state.get("last", count)) % SIZE
    state["last"] = count
    frame["pieces_total"] = state["total"]
