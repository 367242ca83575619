"""The types of commands that both sides know: parameters, results, and the facts that rule their running.

One table, `TYPES`, from which the agent builds its registry of executors and the centre its own, which adds
who may send what (central_sync/services/commands/types.py). A further type is a line here, one there, and an
executor at the agent; nothing else knows their names.

Parameters forbid what they do not know: an agent that is older than the centre rejects a command rather than
running something else. Results ignore it. Neither side trusts the other: both validate parameters.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from edge_agent.wire.messages import Message, Name, Number, Text

MAX_TAGS: Final = 200
# No command runs longer, whatever its type says.
MAX_TIMEOUT_SECONDS: Final = 3_600.0
MAX_LOG_LINES: Final = 100_000
_MAX_TAG_LENGTH: Final = 300


def _tag_name(text: str) -> str:
    connection, dot, tag = text.partition(".")
    if not (connection and dot and tag):
        raise ValueError("is named CONNECTION.TAG")
    if not text.isprintable():
        raise ValueError("has no control characters")
    return text


def _no_integer(value: Any) -> Any:
    if isinstance(value, int):
        raise ValueError("is an integer beyond 64 bits")
    return value


# `CONNECTION.TAG`; the first dot separates.
TagName = Annotated[str, Field(min_length=3, max_length=_MAX_TAG_LENGTH), AfterValidator(_tag_name)]
ConnectionName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=51)]
Level = Literal["debug", "info", "warning", "error"]
# Integers beyond what any PLC holds would not fit the databases on the way.
Value = (
    Annotated[bool, Field(strict=True)]
    | Annotated[int, Field(strict=True, ge=-(1 << 63), lt=1 << 63)]
    | Annotated[float, Field(strict=True), BeforeValidator(_no_integer)]
    | Annotated[str, Field(strict=True, max_length=2_000)]
)


class Params(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class NoParams(Params):
    """No parameters."""


class ArtifactRef(Message):
    """A file that was sent with `PUT …/artifact`."""

    name: Text
    size_bytes: Number
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PingResult(Message):
    version: Text
    run: Name
    now: Number = Field(description="The device's wall clock.")
    uptime_seconds: float


class RestartAgentParams(Params):
    delay_seconds: float = Field(0.0, ge=0.0, le=60.0, description="Wait this long before the stop begins.")
    force: bool = Field(
        False, description="Stop it even where nothing on the device is known to start it again."
    )


class RestartAgentResult(Message):
    """Reported by the run that follows."""

    run_before: Name
    run: Name
    version: Text


class ReloadConfigParams(Params):
    remote: bool = Field(
        True, description="Ask the centre for its document first; else the local file alone."
    )


class ReloadConfigResult(Message):
    changed: bool
    config_version: Number | None = Field(None, description="The centre's version that runs now.")
    warnings: list[Text] = Field(default_factory=list)


class ScriptStanding(Message):
    """One script as it runs, or does not: `state` and `error` are those of `HookReport`."""

    name: Text
    hook_type: Text
    origin: Text = Field(description="centre, or local: of the device's own config.")
    version: Number = Field(0, description="The centre's; 0 of a local one.")
    sha256: Text = ""
    state: Text
    error: Text = ""
    line: Number | None = None


class SyncScriptsResult(Message):
    changed: bool = Field(description="Whether other scripts run than before.")
    etag: str | None = Field(None, description="Of the centre's set that was looked at.")
    message: Text = ""
    scripts: Annotated[list[ScriptStanding], Field(max_length=1_000)]


class CollectLogsParams(Params):
    lines: int = Field(1_000, ge=1, le=MAX_LOG_LINES, description="The newest lines, at most so many.")
    since_seconds: float | None = Field(None, gt=0, le=31_536_000, description="No line older than this.")
    level: Level = Field("info", description="Least level.")


class CollectLogsResult(Message):
    """The lines themselves are the artifact: text, the oldest first."""

    lines: Number
    truncated: bool = False
    artifact: ArtifactRef | None = None


class ReadTagsParams(Params):
    tags: list[TagName] = Field(
        min_length=1, max_length=MAX_TAGS, description="`CONNECTION.TAG`.", examples=[["press1.oil_temp"]]
    )


class TagReading(Message):
    """value is null where the quality is bad; time: of the agent; a tag that is not there has an `error`.
    fresh: it was read after the command began; else it is the newest there was."""

    tag: str
    value: bool | int | float | str | None = None
    quality: str = ""
    unit: str = ""
    time: Number | None = None
    source_time: Number | None = None
    fresh: bool = False
    error: Text = ""


class ReadTagsResult(Message):
    values: Annotated[list[TagReading], Field(max_length=MAX_TAGS)]


class WriteTagParams(Params):
    tag: TagName = Field(description="`CONNECTION.TAG`.", examples=["press1.setpoint"])
    value: Value = Field(description="In engineering units, of the tag's type.", examples=[42.5])


class WriteTagResult(Message):
    """before and after: what was read around the write, where the driver can."""

    tag: str
    value: bool | int | float | str
    before: bool | int | float | str | None = None
    after: bool | int | float | str | None = None
    confirmation: str = Field(
        "", description="confirmed: it was read back; unconfirmed: the PLC took it, and it was not."
    )


class RestartConnectionParams(Params):
    connection: ConnectionName = Field(description="Its name.", examples=["press1"])


class RestartConnectionResult(Message):
    connection: str
    state: str = Field(description="connected, connecting or down, when the command ended.")
    error: Text = ""


class RunDiagnosticsParams(Params):
    checks: list[Name] | None = Field(
        None, min_length=1, max_length=50, description="Names of the doctor's checks; all without it.",
        examples=[["disk", "clock"]],
    )  # fmt: skip


class Diagnosis(Message):
    """verdict: ok, skipped, warning, failed; of the worst finding."""

    check: str
    subject: str = ""
    verdict: str
    text: Text = ""
    remedies: list[Text] = Field(default_factory=list)


class RunDiagnosticsResult(Message):
    verdict: str
    checks: Annotated[list[Diagnosis], Field(max_length=1_000)]


class SetLogLevelParams(Params):
    level: Level = Field(description="Least level logged from now on.", examples=["debug"])
    seconds: float | None = Field(
        600.0,
        gt=0,
        le=86_400,
        description="Then the config's level counts again; null: until the next start.",
    )


class SetLogLevelResult(Message):
    level: str
    before: str
    seconds: float | None = None


class FlushBufferParams(Params):
    wait_delivered: bool = Field(False, description="End only when the centre has all that was pending.")


class FlushBufferResult(Message):
    flushed_samples: Number
    pending_batches: Number
    pending_samples: Number = 0


class SupportBundleParams(Params):
    doctor: bool = Field(True, description="With the doctor's examination, which takes the longest.")


class SupportBundleResult(Message):
    artifact: ArtifactRef
    files: Number = 0


@dataclass(frozen=True, slots=True)
class CommandType:
    """idempotent: running it twice does what running it once does, so that the agent may run it again after
    a crash. timeout_seconds: of running, unless the command says otherwise, up to the maximum. artifact:
    whether it sends a file."""

    name: str
    params: type[Params]
    result: type[Message]
    timeout_seconds: float
    max_timeout_seconds: float = MAX_TIMEOUT_SECONDS
    idempotent: bool = True
    artifact: bool = False


def table(types: Iterable[CommandType]) -> Mapping[str, CommandType]:
    """Raises ValueError where a name is there twice."""
    found: dict[str, CommandType] = {}
    for entry in types:
        if entry.name in found:
            raise ValueError(f"two types are called {entry.name}")
        found[entry.name] = entry
    return found


TYPES: Final = table(
    (
        CommandType("ping", NoParams, PingResult, 10.0, 60.0),
        CommandType("restart_agent", RestartAgentParams, RestartAgentResult, 120.0, 600.0, idempotent=False),
        CommandType("reload_config", ReloadConfigParams, ReloadConfigResult, 120.0, 600.0),
        CommandType("sync_scripts", NoParams, SyncScriptsResult, 120.0, 600.0),
        CommandType("collect_logs", CollectLogsParams, CollectLogsResult, 60.0, 600.0, artifact=True),
        CommandType("read_tags", ReadTagsParams, ReadTagsResult, 30.0, 300.0),
        CommandType("write_tag", WriteTagParams, WriteTagResult, 10.0, 60.0, idempotent=False),
        CommandType("restart_connection", RestartConnectionParams, RestartConnectionResult, 60.0, 300.0),
        CommandType("run_diagnostics", RunDiagnosticsParams, RunDiagnosticsResult, 120.0, 900.0),
        CommandType("set_log_level", SetLogLevelParams, SetLogLevelResult, 10.0, 60.0),
        CommandType("flush_buffer", FlushBufferParams, FlushBufferResult, 60.0),
        CommandType(
            "support_bundle", SupportBundleParams, SupportBundleResult, 300.0, 1_800.0, artifact=True
        ),
    )
)


def example(kind: CommandType) -> dict[str, Any]:
    """Parameters that are valid: what the fields give as their first example, for those without a default."""
    return {
        name: field.examples[0]
        for name, field in kind.params.model_fields.items()
        if field.is_required() and field.examples
    }
