"""The types of hooks as the API shows them: what `edge_agent.wire.hook_points` tells of each."""

from pydantic import Field

from central_sync.services.views import View
from edge_agent.wire.hook_points import POINTS, PointInfo
from edge_agent.wire.scripts import HookPoint


class HookType(View):
    """name: also of the function that a script of this type defines."""

    name: HookPoint
    description: str = Field(description="When it is run.")
    input: str = Field(description="What the function is given, with its type, and what it reads.")
    output: str = Field(description="What becomes of its outputs.")
    has_frames: bool = Field(description="Whether it changes tags of frames; else it only computes new ones.")
    scheduled: bool = Field(description="Whether it needs `schedule`.")
    example: str = Field(description="A script of this type, whole.")


class HookTypes(View):
    items: list[HookType]


def hook_types() -> HookTypes:
    return HookTypes(items=[_view(info) for info in POINTS.values()])


def _view(info: PointInfo) -> HookType:
    name, type_ = info.given
    return HookType(
        name=info.point, description=info.when, input=f"{name}: {type_}; {info.reads}", output=info.makes,
        has_frames=info.point.has_frames, scheduled=info.point is HookPoint.ON_SCHEDULE, example=info.example,
    )  # fmt: skip
