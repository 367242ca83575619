"""Privacy filter: who works at the machine does not leave the plant.

config: {name: privacy, point: before_forward, file: hooks/privacy_filter.py, on_failure: withhold}

before_forward runs last, on frames of all groups and on what other hooks made. `withhold`: should this
script fail, values are kept back rather than sent as they are.
"""

from holdfast_hooks import Frame

# A pattern stands for tags that a group has: groups without a badge get none.
OUTPUTS = {"badge*": "string"}


def redacted(badge: str) -> str:
    """Whether somebody is signed in, not who."""
    return "somebody" if badge.strip() else ""


def before_forward(frame: Frame) -> None:
    frame.drop("operator_*")
    if "badge" in frame:
        frame["badge"] = redacted(frame["badge"])
