"""The types of hooks at the centre: what `edge_agent.wire.scripts.HookPoint` names, in words and by example.

A further type is a line there and one here; a test compares the two, and runs each example.
"""

from typing import Final

from pydantic import Field

from central_sync.services.views import View
from edge_agent.wire.scripts import HookPoint


class HookType(View):
    """name: also of the function that a script of this type defines."""

    name: HookPoint
    description: str = Field(description="When it is run.")
    input: str = Field(description="What the function is given.")
    output: str = Field(description="What it may do.")
    has_frames: bool = Field(description="Whether it changes tags of frames; else it only computes new ones.")
    scheduled: bool = Field(description="Whether it needs `schedule`.")
    example: str = Field(description="A script of this type, whole.")


class HookTypes(View):
    items: list[HookType]


_COMPUTES: Final = (
    "Tags that OUTPUTS declares, of the connection `hooks` and the group NAME of the script; `alert(code, "
    "message)`."
)
_TEXTS: Final[dict[HookPoint, tuple[str, str, str, str]]] = {
    HookPoint.ON_CONNECT: (
        "When a connection comes up or goes down.",
        "link: connection, driver, address, state; values of the tags in INPUTS.",
        _COMPUTES,
        'OUTPUTS = {"downs": "uint32"}\n\n\n'
        "def on_connect(link, state):\n"
        '    if link.state != "online":\n'
        '        state["downs"] = state.get("downs", 0) + 1\n'
        '    link["downs"] = state.get("downs", 0)\n',
    ),
    HookPoint.TRANSFORM: (
        "On each frame of its groups, before anything else sees it.",
        "frame: values of one group's tags by name, in engineering units, or as columns.",
        "Replaces tags, adds those that OUTPUTS declares, drops tags or the frame.",
        'OUTPUTS = {"oil_temp_f": "float32 °F"}\n\n\n'
        "def transform(frame):\n"
        '    oil = frame.get("oil_temp")\n'
        "    if oil is not None:\n"
        '        frame["oil_temp_f"] = oil * 1.8 + 32\n',
    ),
    HookPoint.ON_CYCLE: (
        "After each cycle of its groups, with the newest values of other groups and connections.",
        "cycle: values of the tags in INPUTS, as CONNECTION.TAG, with their quality and age.",
        _COMPUTES,
        'INPUTS = ["press1.*"]\nOUTPUTS = {"seen": "bool"}\n\n\n'
        "def on_cycle(cycle):\n"
        '    cycle["seen"] = True\n',
    ),
    HookPoint.BEFORE_FORWARD: (
        "On each frame of its groups as the last, after all other hooks: to filter, enrich or redact.",
        "frame: as for transform, computed tags included.",
        "As transform.",
        "def before_forward(frame):\n"
        '    frame.drop("operator*")\n',
    ),
    HookPoint.ON_ALERT: (
        "When the agent notes an event: an outage, a loss, a hook that was switched off.",
        "alert: code, message, connection, data, time; values of the tags in INPUTS.",
        _COMPUTES,
        'OUTPUTS = {"alerts": "uint32"}\n\n\n'
        "def on_alert(alert, state):\n"
        '    state["n"] = state.get("n", 0) + 1\n'
        '    alert["alerts"] = state["n"]\n',
    ),
    HookPoint.ON_SCHEDULE: (
        "At times: `schedule`, as cron has it, in `timezone`.",
        "tick: scheduled, time; values of the tags in INPUTS.",
        _COMPUTES,
        'OUTPUTS = {"shift": "uint8"}\n\n\n'
        "def on_schedule(tick, state):\n"
        '    state["shift"] = state.get("shift", 0) % 3 + 1\n'
        '    tick["shift"] = state["shift"]\n',
    ),
}  # fmt: skip


def hook_types() -> HookTypes:
    return HookTypes(items=[_view(point) for point in HookPoint])


def _view(point: HookPoint) -> HookType:
    description, given, output, example = _TEXTS[point]
    return HookType(
        name=point, description=description, input=given, output=output, has_frames=point.has_frames,
        scheduled=point is HookPoint.ON_SCHEDULE, example=example,
    )  # fmt: skip
