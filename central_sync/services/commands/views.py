"""What the API takes and shows of commands and orders. Times are UTC milliseconds, sizes bytes."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from central_sync.services.access.roles import Role
from central_sync.services.access.targets import Targets
from central_sync.services.views import View
from edge_agent.wire.commands import CommandState

MAX_EXPIRES_SECONDS = 604_800.0


class CommandTypeView(View):
    """One type of command. role: the least that may send it."""

    type: str = Field(examples=["ping"])
    description: str = Field(examples=["Answers with version, run and uptime."])
    role: Role = Field(examples=["operator"])
    dangerous: bool = Field(description="It interrupts or changes the plant or the agent.")
    idempotent: bool = Field(description="After a crash in the middle the agent may run it again.")
    artifact: bool = Field(description="It brings a file.")
    timeout_seconds: float = Field(
        examples=[10.0], description="Of running, unless the order says otherwise."
    )
    max_timeout_seconds: float = Field(examples=[60.0])
    params_example: dict[str, Any] = Field(examples=[{}])
    params_schema: dict[str, Any] = Field(examples=[{"type": "object"}], description="JSON Schema.")
    result_schema: dict[str, Any] = Field(examples=[{"type": "object"}], description="JSON Schema.")


class CommandTypes(View):
    items: list[CommandTypeView]
    next: str | None = None


class OrderRequest(BaseModel):
    """A command for one device or many."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", allow_inf_nan=False)

    type: str = Field(min_length=1, max_length=64, examples=["ping"])
    params: dict[str, JsonValue] = Field({}, description="As the type says: `GET …/commands/types`.")
    targets: Targets = Field(examples=[{"devices": ["press-shop-01"]}])
    expires_seconds: float | None = Field(
        None, ge=1, le=MAX_EXPIRES_SECONDS,
        description="What was not started by then is not started any more. By default an hour; a minute for "
        "write_tag, since nobody expects a machine to move later.",
    )  # fmt: skip
    timeout_seconds: float | None = Field(
        None, ge=1, description="How long it may run; the type's own time by default, its maximum at most."
    )
    note: str = Field("", max_length=2_000, description="For the history: why.")


class ArtifactView(View):
    name: str = Field(examples=["agent.log"])
    size_bytes: int
    sha256: str


class CommandView(View):
    """One command for one device."""

    id: str = Field(examples=["cmd-0123456789abcdef"])
    order: str = Field(examples=["ord-0123456789abcdef"])
    device_id: str = Field(examples=["press-shop-01"])
    type: str = Field(examples=["ping"])
    state: CommandState
    created: int
    expires: int
    timeout_seconds: float
    author: str = Field(examples=["operator:1f2e3d4c5b6a"])
    note: str = ""
    changed: int = Field(description="When its state or progress changed last.")
    ended: int | None = None
    cancel_requested: int | None = None
    cancelled_by: str | None = None
    step: int = 0
    steps: int = 0
    message: str = ""
    code: str = ""
    log_bytes: int = 0
    artifact: ArtifactView | None = None


class StepView(View):
    """One transition. by: who said so: `device`, `centre`, or whoever ordered or cancelled. time: at the
    centre; device_time: on the device's clock."""

    no: int
    time: int
    state: CommandState
    by: str = Field(examples=["device"])
    device_time: int | None = None
    message: str = ""
    code: str = ""


class CommandDetail(CommandView):
    params: dict[str, Any] = Field({}, examples=[{}])
    result: JsonValue = Field(None, description="As the type says; null until there is one.")
    history: list[StepView] = Field(default_factory=list)


class CommandPage(View):
    items: list[CommandView]
    next: str | None = None


class OrderView(View):
    """An order and how many of its commands are in which state; of those that the asker may see."""

    id: str = Field(examples=["ord-0123456789abcdef"])
    type: str = Field(examples=["ping"])
    params: dict[str, Any] = Field({}, examples=[{}])
    author: str = Field(examples=["operator:1f2e3d4c5b6a"])
    note: str = ""
    created: int
    expires: int
    timeout_seconds: float
    total: int
    states: dict[str, int] = Field(examples=[{"succeeded": 9, "queued": 1}])
    finished: bool = Field(description="Every command is in a final state.")


class OrderCreated(View):
    """commands: the first of them; the rest: `GET /api/fleet/commands?order=…&cursor=NEXT`."""

    order: OrderView
    commands: list[CommandView]
    next: str | None = None


class OrderCancelled(View):
    """cancelled: never offered, so that they are cancelled now. asked: the devices are told. ended: nothing
    to stop."""

    order: OrderView
    cancelled: int
    asked: int
    ended: int


class LogView(View):
    """Output from `offset` on. offset: where `text` begins, beyond what was asked for where some is missing;
    both count bytes of UTF-8. complete: nothing more will come."""

    offset: int
    text: str
    next: int = Field(description="The `offset` to ask for next.")
    complete: bool


class ArtifactStored(View):
    size_bytes: int
    sha256: Annotated[str, Field(min_length=64, max_length=64)]
