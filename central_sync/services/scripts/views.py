"""What the operators' API takes and shows of scripts. Times are UTC milliseconds; absent facts are null."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from central_sync.services.access.targets import MAX_TARGETS
from central_sync.services.views import View
from edge_agent.wire.messages import HookReport
from edge_agent.wire.scripts import (
    MAX_PATTERN,
    MAX_PATTERNS,
    MAX_SOURCE_BYTES,
    HookPoint,
    OnFailure,
    Script,
    Signature,
)

MAX_NOTE: Final = 500
MAX_POSITION: Final = 1_000_000
USUAL_POSITION: Final = 100
_SOURCE: Final = (
    'OUTPUTS = {"oil_temp_f": "float32 °F"}\n\n\n'
    'def transform(frame):\n    frame["oil_temp_f"] = frame["oil_temp"] * 1.8 + 32\n'
)
_EXAMPLE: Final[dict[str, Any]] = {
    "name": "oil-fahrenheit", "hook_type": "transform", "source": _SOURCE, "groups": ["press1.*"],
    "note": "for the line's panel",
}  # fmt: skip
_NAME: Final = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
_PRINTABLE: Final = r"^[^\x00-\x1f\x7f]*$"
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PATTERN, pattern=_PRINTABLE)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class Asked(BaseModel):
    """Base of what operators send: a member that is not known is an error."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")


class ScriptBody(Asked):
    """A script: its source, and the settings that decide what it is run on. The digest covers both."""

    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="forbid", json_schema_extra={"example": _EXAMPLE}
    )

    name: str = Field(pattern=_NAME, max_length=51, description="In status, events and schemas of devices.")
    hook_type: HookPoint = Field(description="Where it is run, and the function that it defines.")
    source: str = Field(
        min_length=1, max_length=MAX_SOURCE_BYTES, description=f"At most {MAX_SOURCE_BYTES} bytes of UTF-8."
    )
    groups: list[Pattern] = Field(
        default=["*"], min_length=1, max_length=MAX_PATTERNS,
        description="CONNECTION.GROUP of the frames or cycles that it gets; `*` stands for any text.",
    )  # fmt: skip
    keep_raw: bool = Field(False, description="Whether tags that it replaces are stored as they were too.")
    on_failure: OnFailure = Field(
        OnFailure.RAW, description="What becomes of samples that it fails on, all marked bad_hook: `raw`, "
        "they go on as they were; `withhold`, without their values.",
    )  # fmt: skip
    timeout_ms: int | None = Field(
        None, ge=1, le=30_000, description="Of one call; null: a quarter of the device's flush interval."
    )
    worker: str = Field(
        "",
        pattern=rf"{_NAME}|^$",
        max_length=51,
        description="Scripts of one name share a process; at the centre only those of one scope do.",
    )
    schedule: str = Field(
        "", max_length=200, pattern=_PRINTABLE, examples=[""],
        description="Of on_schedule: minute, hour, day of month, month, day of week.",
    )  # fmt: skip
    timezone: str = Field("UTC", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$")
    signatures: list[Signature] = Field(
        default=[], max_length=16, description="Made offline by `edge-agent hook sign`.", examples=[[]]
    )
    version: int = Field(
        0, ge=0, description="Of no effect: as `edge-agent hook sign` writes it. The centre counts versions."
    )
    description: str | None = Field(None, max_length=2_000, description="For people; null: as it is.")
    note: str = Field("", max_length=MAX_NOTE, description="Why; shown with the version.")


class ScriptPatch(Asked):
    """What of a script has no versions. Absent: as it is."""

    enabled: bool | None = Field(None, description="False: its devices are served without it.")
    position: int | None = Field(
        None, ge=0, le=MAX_POSITION,
        description="Scripts are run in the order of their positions, then of their names.",
    )  # fmt: skip
    description: str | None = Field(None, max_length=2_000)


class SignaturesBody(Asked):
    """All signatures of a version."""

    signatures: list[Signature] = Field(max_length=16)


class Assignment(Asked):
    """Who gets a script: named devices, those that carry all of `labels`, and those that the selector
    chooses."""

    devices: list[Annotated[str, StringConstraints(max_length=51)]] = Field(
        default=[], max_length=MAX_TARGETS, examples=[["press-shop-01"]]
    )
    labels: dict[Key, Annotated[str, StringConstraints(max_length=200)]] = Field(
        default={}, max_length=20, description="Empty: nobody by labels.", examples=[{"site": "north"}]
    )
    selector: str | None = Field(
        None, max_length=2_000, description="Labels: `site=north, line in (a, b), !retired`; `*`: all.",
        examples=["line in (a, b)"],
    )  # fmt: skip


class AssignmentBody(Assignment):
    mode: Literal["replace", "add", "remove"] = Field(
        "replace", description="replace: these alone. add, remove: these devices beside or of those that are "
        "named; labels and selector where they are given.",
    )  # fmt: skip


class AssignmentChanged(View):
    """What an assignment does, or would do."""

    assignment: Assignment
    etag: str
    matched: int = Field(description="Devices that get the script.")
    added: list[str] = Field(description="Of them, those that did not have it: the first 1,000.")
    removed: list[str] = Field(description="Those that lose it: the first 1,000.")
    dry_run: bool = False


class ScriptView(View):
    """A script as its devices get it, and who they are."""

    id: str
    name: str
    hook_type: HookPoint
    description: str
    enabled: bool
    position: int
    version: int
    sha256: str = Field(description="Of its canonical form: source and settings.")
    mark: str = Field(
        description="How records of devices name it.", examples=["oil-fahrenheit@0123456789abcdef"]
    )
    signed_by: list[str] = Field(default=[], description="Names of the keys.")
    scope: dict[str, str] = Field(
        default={}, description="Labels of the registry without which no device gets it: the limits of who "
        "made it.",
    )  # fmt: skip
    assignment: Assignment = Field(description="Named devices: those in your sight.")
    devices: int = Field(description="How many devices in your sight have it.")
    author: str
    created: int
    updated: int
    deleted: int | None = None
    etag: str


class ScriptDetail(ScriptView):
    script: Script = Field(description="The version that devices get.")


class ScriptPage(View):
    items: list[ScriptView]
    next: str | None = None


class ScriptWritten(ScriptView):
    """A change of a script."""

    created_version: bool = Field(description="False: it was this one already.")
    warnings: list[str] = Field(default=[])


class ScriptVersion(View):
    version: int
    sha256: str
    mark: str
    author: str = Field(examples=["engineer:7f3a"])
    time: int
    note: str = ""
    source: str = Field(description="What made it: create, put or rollback.", examples=["put"])
    current: bool = Field(description="Whether devices get this one.")
    signed_by: list[str] = Field(default=[])


class ScriptVersionPage(View):
    items: list[ScriptVersion]
    next: str | None = None


class ScriptVersionDetail(ScriptVersion):
    script: Script = Field(description="As devices get it; `edge-agent hook sign` signs this.")


class SettingChange(View):
    name: str = Field(examples=["timeout_ms"])
    before: Any = None
    after: Any = None


class ScriptDiff(View):
    """What differs between two versions: settings by name, the source as a unified diff."""

    from_: int = Field(serialization_alias="from", validation_alias="from")
    to: int
    settings: list[SettingChange] = Field(default=[])
    text: str = Field("", examples=["--- version 1\n+++ version 2\n@@ -1 +1 @@\n-a = 1\n+a = 2\n"])
    added: int = Field(0, description="Lines.")
    removed: int = 0


class ScriptDevice(View):
    """One device that has a script. reported: what it says of it, where it runs one of that name."""

    device_id: str
    in_sync: bool = Field(description="It runs the version that it is to have.")
    reported: HookReport | None = None
    time: int | None = Field(None, description="Arrival of the report.")


class ScriptDevicePage(View):
    items: list[ScriptDevice]
    next: str | None = None


class DesiredScript(View):
    """A script that a device is to run, in the order in which it runs them."""

    id: str
    name: str
    hook_type: HookPoint
    version: int
    sha256: str
    mark: str
    signed_by: list[str] = Field(default=[])
    reported: HookReport | None = None


class ReportedScripts(View):
    """What the device said last of the centre's scripts: `state` is none, applied or rejected."""

    etag: str | None = None
    state: str = Field(examples=["applied"])
    message: str = ""
    layers: dict[str, str] = Field(
        default={}, description="Each layer of the sandbox: `on`, or why it is not."
    )
    time: int | None = Field(None, description="Arrival of the report.")


class DeviceScripts(View):
    """Desired and reported apart."""

    device_id: str
    etag: str | None = Field(None, description="Of what the device is served; null: never anything.")
    desired: list[DesiredScript]
    disabled: list[str] = Field(default=[], description="Names of scripts that it has and that are disabled.")
    reported: ReportedScripts | None = None
    hooks: list[HookReport] = Field(
        default=[], description="All hooks that it runs, those of its own file among them."
    )
    in_sync: bool = Field(description="What it is to run is what it applied.")
