"""Moving average over the last ten samples that were good.

config: {name: level-mean, point: transform, file: hooks/moving_average.py, groups: [tank1.*]}
"""

from holdfast_hooks import Frame, State

OUTPUTS = {"level_mean": "float32 m"}
SAMPLES = 10


def transform(frame: Frame, state: State) -> None:
    if "level" not in frame or frame.quality("level") != "good":
        return
    state["last"] = [*state.get("last", []), frame["level"]][-SAMPLES:]
    frame["level_mean"] = sum(state["last"]) / len(state["last"])
