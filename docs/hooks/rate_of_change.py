"""Rate of change, in °C a minute, by the times of the samples; an alert where it is too high.

config: {name: oil-rate, point: transform, file: hooks/rate_of_change.py, groups: [press1.fast]}
"""

from holdfast_hooks import Frame, State, alert

OUTPUTS = {"oil_rate": "float32 °C/min"}
TOO_FAST = 5.0


def transform(frame: Frame, state: State) -> None:
    if "oil_temp" not in frame:
        return  # with a deadband: it did not change; how fast it did is known when it comes again
    value = frame["oil_temp"]
    if value is None:
        state.clear()  # what comes after a gap is not compared with what was before it
        return
    minutes = (frame.time - state.get("time", frame.time)) / 60_000
    if minutes > 0:
        rate = (value - state["value"]) / minutes
        frame["oil_rate"] = rate
        if rate > TOO_FAST and not state.get("told"):
            alert(
                "oil_heats_up", f"the oil of {frame.connection} gets {rate:.1f} °C hotter a minute", rate=rate
            )
        state["told"] = rate > TOO_FAST
    state["time"] = frame.time
    state["value"] = value
