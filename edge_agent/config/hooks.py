"""The section `hooks`: the site's own scripts, and what the gateway asks of those that the centre sends.

The local file alone has it: a centre sends scripts (`remote.manage: [hooks]`), and cannot change what is
required of them (DESIGN §3, 11). Validators of their own are built where somebody needs them: few agents do.
"""

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from edge_agent.config.base import Settings
from edge_agent.config.units import Duration, between
from edge_agent.wire.scripts import KEY_KIND, MAX_SCRIPTS, HookPoint, OnFailure, key_bytes

MAX_KEY_NAME: Final = 64
Layer = Literal["rlimits", "no_new_privs", "landlock", "seccomp"]


class HookSettings(Settings, defer_build=True):
    """One script, and what it is run on."""

    name: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=51, examples=["oil-fahrenheit"],
        description="Its name in status, events and schemas.",
    )  # fmt: skip
    point: HookPoint = Field(
        description="Where it is run, and the function that it defines.", examples=["transform"]
    )
    file: str | None = Field(
        None, min_length=1, description="The script; relative to the config file. Else `source`.",
        examples=["hooks/oil.py"],
    )  # fmt: skip
    source: str | None = Field(None, min_length=1, description="The script itself, instead of a file.")
    groups: list[str] = Field(
        default_factory=lambda: ["*"], min_length=1, max_length=1_000, examples=[["press1.*"]],
        description="CONNECTION.GROUP of the frames or cycles that it gets; `*` stands for any text.",
    )  # fmt: skip
    keep_raw: bool = Field(
        False, description="Whether tags that it replaces are stored as they were too, as TAG.raw."
    )
    on_failure: OnFailure = Field(
        OnFailure.RAW, description="What becomes of samples that it fails on, all marked bad_hook: `raw`, "
        "they go on as they were; `withhold`, without their values.",
    )  # fmt: skip
    timeout: Annotated[Duration, between("1ms", "30s")] | None = Field(
        None, examples=["100ms"],
        description="Most that one call may take; never more than half of buffer.flush_interval. Absent: a "
        "quarter of it.",
    )  # fmt: skip
    worker: str | None = Field(
        None, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=51, examples=["shared"],
        description="Hooks of one name share a process, and its fate. Absent: a process of its own.",
    )  # fmt: skip
    schedule: str | None = Field(
        None, max_length=200, examples=["0 6,14,22 * * *"],
        description="When on_schedule runs: minute, hour, day of month, month, day of week.",
    )  # fmt: skip
    timezone: str = Field(
        "UTC", max_length=64, description="Of the schedule.", examples=["Asia/Seoul", "Europe/Berlin"]
    )

    @model_validator(mode="after")
    def _is_whole(self) -> "HookSettings":
        if (self.file is None) == (self.source is None):
            raise ValueError("give one of file and source")
        if (self.point is HookPoint.ON_SCHEDULE) != (self.schedule is not None):
            raise ValueError("a schedule belongs to point on_schedule, and that needs one")
        if self.keep_raw and not self.point.has_frames:
            raise ValueError("keep_raw: only transform and before_forward replace tags")
        return self


class HooksSettings(Settings, defer_build=True):
    """Scripts of this device, and what is required before any script is run."""

    require: list[Layer] = Field(
        default_factory=list, examples=[["seccomp", "landlock"]],
        description="Layers of the sandbox without which no hook runs. Default: those that the kernel has "
        "are used, and the status names the others.",
    )  # fmt: skip
    require_signature: dict[str, str] = Field(
        default_factory=dict, max_length=100,
        description="Public keys by name (`edge-agent hook keygen`). With any, a script of the centre runs "
        "only if one of them signed it.",
        examples=[{"plant-engineering": "ed25519:jRVMEBQ1mMyyFMzTWyOg4CjtbgDAwIhYU0Sm6jH44SM="}],
    )  # fmt: skip
    scripts: list[HookSettings] = Field(
        default_factory=list, max_length=MAX_SCRIPTS, description="Scripts, in the order in which they run.",
        json_schema_extra={"x-sample-empty": True},
    )  # fmt: skip

    @model_validator(mode="after")
    def _keys_are_some(self) -> "HooksSettings":
        for name, text in self.require_signature.items():
            if not 1 <= len(name) <= MAX_KEY_NAME:
                raise ValueError(f"require_signature: a key's name has 1 to {MAX_KEY_NAME} characters")
            if key_bytes(text) is None:
                raise ValueError(
                    f"require_signature: {name} is no public key: `edge-agent hook keygen` prints one, as "
                    f"{KEY_KIND} and 32 bytes in base64"
                )
        return self

    @model_validator(mode="after")
    def _each_once(self) -> "HooksSettings":
        seen: set[str] = set()
        for each in self.scripts:
            if each.name in seen:
                raise ValueError(f"{each.name} stands twice in scripts")
            seen.add(each.name)
        return self
