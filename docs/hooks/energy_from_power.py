"""Energy from power: kWh added up from kW, between two samples as a straight line.

config: {name: energy, point: transform, file: hooks/energy_from_power.py, groups: [meter1.*]}

Nothing is made up for gaps: over more than five minutes without a sample no energy is counted.
"""

from holdfast_hooks import Frame, State

OUTPUTS = {"energy": "float64 kWh"}
LONGEST_GAP_SECONDS = 300


def transform(frame: Frame, state: State) -> None:
    power = frame["power"]
    if power is not None:
        seconds = (frame.time - state.get("time", frame.time)) / 1_000
        if 0 < seconds <= LONGEST_GAP_SECONDS:
            mean = (power + state["power"]) / 2
            state["energy"] = state.get("energy", 0.0) + mean * seconds / 3_600
        state["time"] = frame.time
        state["power"] = power
    frame.set("energy", state.get("energy", 0.0), of="power")
