"""What the operators' API shows of configs. Times are UTC milliseconds; absent facts are null."""

from typing import Any

from pydantic import Field

from central_sync.services.views import View
from edge_agent.wire.messages import ConfigState


class ConfigProblem(View):
    """One thing that is wrong with a document, or that only the device can tell."""

    path: str = Field(examples=["connections[press1].groups[fast].interval"])
    message: str = Field(examples=["needs a duration with a unit such as 500ms, 2s, 1m, 24h (got '1')"])


class ConfigChecked(View):
    """What `edge-agent check` says of a document."""

    valid: bool
    problems: list[ConfigProblem] = Field(default=[])
    warnings: list[ConfigProblem] = Field(
        default=[], description="What works and is unwise, and what the device's own file must have."
    )


class ConfigWritten(View):
    """A change of a config. The ETag of the envelope that the agent will fetch."""

    version: int
    etag: str
    created: bool = Field(description="False: these sections were the desired ones already.")
    author: str
    time: int
    warnings: list[ConfigProblem] = Field(default=[])


class ConfigOutcome(View):
    """What the device reported of one version."""

    state: ConfigState
    code: str = ""
    message: str = ""


class ConfigVersion(View):
    version: int
    etag: str
    author: str = Field(examples=["engineer:7f3a"])
    time: int
    note: str = Field("", examples=["two more presses"])
    source: str = Field("put", description="put, rollback, apply, template, tags or import.")
    desired: bool = Field(description="Whether the device is to have this one now.")
    outcome: ConfigOutcome | None = Field(None, description="As far as the device reported it.")


class ConfigVersionPage(View):
    items: list[ConfigVersion]
    next: str | None = None


class ConfigVersionDetail(ConfigVersion):
    sections: dict[str, Any] = Field(examples=[{"connections": []}])


class DesiredConfig(View):
    version: int
    etag: str
    author: str
    time: int
    note: str = ""


class AppliedConfig(View):
    """version: of the centre's config that runs; null: the device's local file alone."""

    version: int | None = None
    hash: str = Field("", description="Of all settings that run, defaults and local sections included.")


class ReportedConfig(View):
    """What the device said last about the newest config that it has seen."""

    state: ConfigState
    seen_version: int | None = None
    etag: str | None = None
    code: str = ""
    message: str = ""
    problems: list[ConfigProblem] = Field(
        default=[], description="The message by place, where it has places."
    )
    time: int | None = Field(None, description="Arrival of the report.")


class ConfigStatus(View):
    """Desired, applied and reported apart."""

    device_id: str
    desired: DesiredConfig | None = Field(None, description="null: the centre wants nothing.")
    applied: AppliedConfig | None = Field(None, description="null: the device was never heard.")
    reported: ReportedConfig | None = None
    in_sync: bool = Field(description="The desired version is the one that runs, or none is desired.")


class ValueChange(View):
    path: str = Field(examples=["transport.host"])
    before: Any = None
    after: Any = None


class NamedChange(View):
    """A tag that is in both documents."""

    name: str
    changes: list[ValueChange]


class TagsDiff(View):
    added: list[str] = Field(default=[])
    removed: list[str] = Field(default=[])
    changed: list[NamedChange] = Field(default=[])


class GroupChange(View):
    name: str
    changes: list[ValueChange] = Field(default=[])
    tags: TagsDiff = TagsDiff()


class GroupsDiff(View):
    added: list[str] = Field(default=[])
    removed: list[str] = Field(default=[])
    changed: list[GroupChange] = Field(default=[])


class ConnectionChange(View):
    name: str
    changes: list[ValueChange] = Field(default=[])
    groups: GroupsDiff = GroupsDiff()


class ConnectionsDiff(View):
    added: list[str] = Field(default=[])
    removed: list[str] = Field(default=[])
    changed: list[ConnectionChange] = Field(default=[])


class ConfigDiff(View):
    """What differs between two versions, by connection, group and tag; `text` has a line for each."""

    from_: int = Field(serialization_alias="from", validation_alias="from")
    to: int
    sections: list[ValueChange] = Field(default=[], description="Of sections other than connections.")
    connections: ConnectionsDiff = ConnectionsDiff()
    text: str = Field("", examples=["~ connections[press1].transport.host: 192.0.2.10 → 192.0.2.11"])
