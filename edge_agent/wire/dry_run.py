"""What `edge-agent hook test` is asked and answers, for programs: one JSON document each way.

The centre starts `edge-agent hook test --request - --json` as a child, writes a `DryRun` to its standard
input, closes it, and reads a `DryRunAnswer` (docs/specs/hook-test-v1.md). The script runs in the same sandbox
and through the same code as on a gateway. Both are bounded here, in time by `seconds` and in size by
`MAX_ANSWER_BYTES`, whatever the script does.

Exit codes: 0, `ok` is true; 1, it is not, and `error` says why; 2, the request is none; 3, no script can be
run here (a library or a layer is missing). With 2 and 3 there is no answer, and one line on standard error.
"""

from typing import Annotated, Any, Final

from pydantic import Field, JsonValue

from edge_agent.wire.messages import Message, Number, Text
from edge_agent.wire.scripts import Script

MAX_REQUEST_BYTES: Final = 8 << 20
MAX_ANSWER_BYTES: Final = 4 << 20
MAX_FRAMES: Final = 1_000
MAX_CALLS: Final = 1_000
MAX_REPEAT: Final = 1_000
MAX_SECONDS: Final = 30.0


class DryFrame(Message):
    """One cycle of a group: values in engineering units by tag, as reports and exports show them.

    quality: labels (`bad_comm`, …) of tags that are not good; a bad one's value is null. A tag that the
    group's schema has and `values` lacks is not in the frame. time: UTC ms.
    """

    connection: Text
    group: Text
    time: Number
    values: dict[str, JsonValue]
    quality: dict[str, str] = Field(default_factory=dict)


class DryRun(Message):
    """What is to be run on what.

    schemas: as `GET …/schemas` gives them, of the groups of `frames`; without one, types follow from the
    values: whole numbers int64, others float64, texts string, truth values bool, the rest json.
    frames: oldest first. Of on_cycle, those of groups that are not among the script's `groups` only give
    values to look at; of on_connect, on_alert and on_schedule all do, and come before all calls.
    calls: of those three, what happened, as docs/hooks.md gives the fields of `link`, `alert` and `tick`.
    state: before the first call. repeat: all frames and calls are run so often, for the times; what is shown
    is of the first round. seconds: most that all of it may take.
    """

    script: Script
    schemas: list[dict[str, JsonValue]] = Field(default_factory=list, max_length=1_000)
    frames: list[DryFrame] = Field(default_factory=list, max_length=MAX_FRAMES)
    calls: list[dict[str, JsonValue]] = Field(default_factory=list, max_length=MAX_CALLS)
    state: dict[str, JsonValue] = Field(default_factory=dict)
    repeat: Annotated[int, Field(ge=1, le=MAX_REPEAT)] = 1
    seconds: Annotated[float, Field(gt=0, le=MAX_SECONDS)] = 10.0


class DryError(Message):
    """line: of the script, from 1, where it is known; source: the text of that line. kind: refused (the
    script can never run), failed (a call raised), killed (its worker was: time, memory, a forbidden call)."""

    kind: str
    type: Text
    message: Text
    line: Number | None = None
    source: Text = ""
    traceback: Annotated[str, Field(max_length=20_000)] = ""


class DryValue(Message):
    """A tag of a frame. value: in engineering units, null where the quality is bad."""

    value: JsonValue = None
    quality: str = "good"


class DryOutput(Message):
    """What became of one frame, or of one call. index: of it in the request.

    before: what came in; after: what goes on, all tags of the frame; `made` names those that the script
    gave a value, `dropped` those that it kept back. Of calls `after` is what they computed. milliseconds:
    None where it was not run, since the script is not for this group.
    """

    index: Number
    connection: Text
    group: Text
    time: Number
    before: dict[str, DryValue] = Field(default_factory=dict)
    after: dict[str, DryValue] = Field(default_factory=dict)
    made: list[str] = Field(default_factory=list)
    dropped: list[str] = Field(default_factory=list)
    prints: str = ""
    milliseconds: float | None = None
    error: DryError | None = None


class DryAlert(Message):
    """index: of the frame or call that it was raised in."""

    code: Text
    message: Text
    data: dict[str, Any] = Field(default_factory=dict)
    index: Number = 0


class DryTimes(Message):
    """Of one call each, there and back. calls: of all rounds."""

    calls: Number = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    total_ms: float = 0.0


class DryRunAnswer(Message):
    """ok: everything was run and nothing failed. error: the first that went wrong.

    outputs: in the order of the request; `left_out` more did not fit into the answer. schemas: of `after`,
    as the centre would get them. state: after the last of the first round. layers: of the sandbox, by name,
    with `on` or why it is not. script: `NAME@DIGEST`, as records name it. declared: `TAG TYPE UNIT` of all
    that OUTPUTS declares.
    """

    ok: bool
    script: Text = ""
    declared: list[str] = Field(default_factory=list)
    outputs: list[DryOutput] = Field(default_factory=list)
    left_out: Number = 0
    schemas: list[dict[str, Any]] = Field(default_factory=list)
    prints: Annotated[str, Field(max_length=20_000)] = ""
    alerts: list[DryAlert] = Field(default_factory=list)
    state: dict[str, Any] = Field(default_factory=dict)
    error: DryError | None = None
    milliseconds: DryTimes = DryTimes()
    layers: dict[str, str] = Field(default_factory=dict)
