"""The points at which scripts are run: what each is given, what it may do, and an example. Pure.

The one list of them: `edge-agent hook points` and the centre's list of hook types show it.
"""

from dataclasses import dataclass
from typing import Final

from edge_agent.wire.scripts import HookPoint


@dataclass(frozen=True, slots=True)
class PointInfo:
    """given: name and type (of the stubs) of the function's first parameter; the second is the state.

    when: it is called. reads: where its inputs come from. makes: what becomes of its outputs. example: a
    script, which runs as it is.
    """

    point: HookPoint
    given: tuple[str, str]
    when: str
    reads: str
    makes: str
    example: str

    @property
    def signature(self) -> str:
        name, type_ = self.given
        return f"def {self.point}({name}: {type_}, state: State) -> None"


_BESIDE: Final = "tags of group NAME (the hook's) of connection `hooks`"
_INPUTS: Final = "the newest values of tags that INPUTS name, as CONNECTION.TAG, after transform"

POINTS: Final = {
    info.point: info
    for info in (
        PointInfo(
            HookPoint.ON_CONNECT,
            ("link", "Link"),
            "a connection came up or went down",
            _INPUTS,
            _BESIDE,
            'OUTPUTS = {"losses": "uint32"}\n\n\n'
            "def on_connect(link, state):\n"
            '    state["losses"] = state.get("losses", 0) + (link.state == "down")\n'
            '    link["losses"] = state["losses"]\n',
        ),
        PointInfo(
            HookPoint.TRANSFORM,
            ("frame", "Frame"),
            "a group's cycle was read, before it is stored",
            "the tags of the frame's own group",
            "tags of the same group: replaced ones, computed ones, or left out",
            'OUTPUTS = {"oil_f": "float32 °F"}\n\n\n'
            "def transform(frame):\n"
            '    frame["oil_f"] = frame["oil"] * 1.8 + 32\n',
        ),
        PointInfo(
            HookPoint.ON_CYCLE,
            ("cycle", "Cycle"),
            "a cycle of one of its groups is complete; for what needs tags of several groups or connections",
            _INPUTS,
            _BESIDE,
            'INPUTS = ["press1.power", "press2.power"]\nOUTPUTS = {"power": "float32 kW"}\n\n\n'
            "def on_cycle(cycle):\n"
            '    cycle["power"] = cycle["press1.power"] + cycle["press2.power"]\n',
        ),
        PointInfo(
            HookPoint.BEFORE_FORWARD,
            ("frame", "Frame"),
            "last of all, on frames of all its groups and on what other hooks made",
            "the tags of the frame's own group",
            "as transform: to filter, enrich and redact",
            'def before_forward(frame):\n    if "operator" in frame.names:\n        frame.drop("operator")\n',
        ),
        PointInfo(
            HookPoint.ON_ALERT,
            ("alert", "Alert"),
            "an event was recorded: a connection down, a tag bad, another hook's alert",
            _INPUTS,
            _BESIDE,
            'OUTPUTS = {"last_alert": "string"}\n\n\n'
            "def on_alert(alert):\n"
            '    alert["last_alert"] = f"{alert.code}: {alert.message}"\n',
        ),
        PointInfo(
            HookPoint.ON_SCHEDULE,
            ("tick", "Tick"),
            "a time of its `schedule` (cron, in its `timezone`) has come",
            _INPUTS,
            _BESIDE,
            'INPUTS = ["press1.pieces"]\nOUTPUTS = {"shift_pieces": "uint32"}\n\n\n'
            "def on_schedule(tick, state):\n"
            '    pieces = tick["press1.pieces"]\n'
            '    tick["shift_pieces"] = pieces - state.get("pieces", pieces)\n'
            '    state["pieces"] = pieces\n',
        ),
    )
}
