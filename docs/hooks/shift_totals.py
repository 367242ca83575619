"""Shift totals: at the end of each shift, how much it made and how much of that was good.

config: {name: shift-totals, point: on_schedule, file: hooks/shift_totals.py,
         schedule: "0 6,14,22 * * *", timezone: Europe/Berlin}

The tags belong to group `shift-totals` of connection `hooks`. `pieces_total` is made by the hook of
counter_rollover.py: hooks without frames see what the others computed.
"""

from holdfast_hooks import State, Tick

INPUTS = ["press1.pieces_total", "press1.scrap_total"]
OUTPUTS = {"shift_pieces": "uint32", "shift_scrap": "uint32", "shift_yield": "float32 %"}


def on_schedule(tick: Tick, state: State) -> None:
    pieces, scrap = tick["press1.pieces_total"], tick["press1.scrap_total"]
    made = pieces - state.get("pieces", pieces)
    bad = scrap - state.get("scrap", scrap)
    state["pieces"] = pieces
    state["scrap"] = scrap
    tick["shift_pieces"] = made
    tick["shift_scrap"] = bad
    if made:
        tick["shift_yield"] = 100 * (made - bad) / made
