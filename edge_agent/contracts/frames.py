"""Where finished frames go: from the pipeline into the buffer."""

from typing import Any, Protocol

from edge_agent.wire.batch import Kind
from edge_agent.wire.frame import Frame
from edge_agent.wire.schema import Schema


class FrameSink(Protocol):
    def append(self, schema: Schema, frame: Frame) -> None:
        """Takes a frame over. Never blocks and never raises: polling must not feel the disk.

        The frame survives a killed process from the moment this returns, and a power cut from the next
        commit on. The schema must have been announced with `announce` before.
        """
        ...

    def record(self, kind: Kind, record: dict[str, Any]) -> None:
        """Adds an event or a clock reading to the next batch. Never raises."""
        ...

    async def announce(self, schemas: list[Schema]) -> None:
        """Takes schemas over before the first frame that needs them; stored with it. Never raises."""
        ...
