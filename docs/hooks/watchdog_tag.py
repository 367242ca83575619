"""Watchdog tag: whether the PLC's program runs, by a counter that it must change every ten seconds.

config: {name: plc-alive, point: on_cycle, file: hooks/watchdog_tag.py, groups: [press1.fast]}

A PLC in STOP still answers with the values that it had. The tag is `plc_alive` of group `plc-alive` of
connection `hooks`; it is good whatever was read, since a counter that cannot be read is an answer too.
"""

from holdfast_hooks import Cycle, State, alert

INPUTS = ["press1.life"]
OUTPUTS = {"plc_alive": "bool"}
LONGEST_MS = 10_000


def on_cycle(cycle: Cycle, state: State) -> None:
    life = cycle["press1.life"]
    if life is not None and life != state.get("life"):
        state["life"] = life
        state["changed"] = cycle.time
    is_alive = cycle.time - state.get("changed", 0) <= LONGEST_MS
    if state.get("alive", True) and not is_alive:
        alert("plc_stopped", "the program of press1 does not run", life=life)
    state["alive"] = is_alive
    cycle.set("plc_alive", is_alive, quality="good")
