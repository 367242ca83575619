"""What may be written into PLCs: the section `writes`. The local file alone has it, and nothing is in it by
default; no document of a centre can add to it (DESIGN §3, 9)."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from edge_agent.config.base import Settings
from edge_agent.config.units import Duration, Seconds, between

_Value = bool | int | float | str


class WriteAllowance(Settings):
    """One tag that may be written, and within which bounds."""

    tag: str = Field(
        min_length=3, max_length=260, description="CONNECTION.TAG; the first dot separates.",
        examples=["press1.setpoint"],
    )  # fmt: skip
    min: float | None = Field(
        None, allow_inf_nan=False, examples=[0],
        description="Smallest value, in the tag's unit of measure. A number needs min and max, or values.",
    )  # fmt: skip
    max: float | None = Field(
        None, allow_inf_nan=False, description="Largest value, in the tag's unit of measure.", examples=[80]
    )
    values: list[_Value] | None = Field(
        None, min_length=1, max_length=1_000, examples=[["stop", "run"]],
        description="The only values that may be written; names of enum too.",
    )  # fmt: skip
    interval: Annotated[Duration, between("0s", "30d")] = Field(
        Seconds(1), description="At most one write of this tag each so long.", examples=["10s"]
    )
    confirm: Literal["read_back", "none"] = Field(
        "read_back", description="Whether the tag is read after it was written, and compared."
    )
    tolerance: float = Field(
        0.0, ge=0, allow_inf_nan=False,
        description="How far the value that is read back may be off, in the tag's unit of measure.",
    )  # fmt: skip
    delay: Annotated[Duration, between("0s", "10s")] = Field(
        Seconds(0),
        description="Pause before it is read back, for PLCs that take a while.",
        examples=["200ms"],
    )
    pin: str | None = Field(
        None, max_length=1_000,
        description="What the tag must be: where it leads, and how values are made of it. Compulsory where "
        "remote.manage has connections, since the centre could make something else of a name; "
        "`edge-agent check` prints it.",
        examples=["modbus 192.0.2.10:502 unit 1 holding:100 uint16 x 0.1 + 0 #5a1f0c93d2e47b68"],
    )  # fmt: skip

    @field_validator("tag")
    @classmethod
    def _names_a_tag(cls, tag: str) -> str:
        connection, _, name = tag.partition(".")
        if not connection or not name:
            raise ValueError(f"{tag!r} is no CONNECTION.TAG")
        return tag

    @model_validator(mode="after")
    def _bounds_fit(self) -> "WriteAllowance":
        if (self.min is None) != (self.max is None):
            raise ValueError("min and max belong together")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is larger than max: nothing could be written")
        return self


class WriteSettings(Settings):
    """What may be written, and how often. The centre cannot manage it: it can narrow what is permitted here,
    by whom it lets order a write, and never widen it."""

    interval: Annotated[Duration, between("0s", "1d")] = Field(
        Seconds(0.1), description="At most one write each so long, all tags together.", examples=["1s"]
    )
    allow: list[WriteAllowance] = Field(
        default_factory=list, max_length=10_000, description="Tags that may be written. Default: none.",
        json_schema_extra={"x-sample-empty": True},
    )  # fmt: skip

    @model_validator(mode="after")
    def _each_once(self) -> "WriteSettings":
        seen: set[str] = set()
        for each in self.allow:
            if each.tag in seen:
                raise ValueError(f"{each.tag} stands twice in allow")
            seen.add(each.tag)
        return self
