"""What `edge-agent buffer` asks of the buffer's file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.app import settings
from edge_agent.buffer import export, survey, verify
from edge_agent.contracts.stored import Fault, Progress, SampleQuery, StoredSample


@dataclass(frozen=True, slots=True)
class StoredBuffer:
    """One file, of an agent that runs or does not. quota_bytes: None where no config says it."""

    path: Path
    quota_bytes: int | None = None

    def stats(self, progress: Progress) -> dict[str, Any]:
        return survey.stats(self.path, self.quota_bytes, progress)

    def verify(self, progress: Progress) -> Iterator[Fault]:
        return verify.verify(self.path, progress)

    def samples(self, query: SampleQuery) -> Iterator[StoredSample | str]:
        return export.samples(self.path, query)


def stored_buffer(path: Path | None, source: Path | None) -> StoredBuffer:
    """The file `source`, else that of the config at `path`. Raises ConfigErrors."""
    if source is not None:
        return StoredBuffer(source)
    assert path is not None, "one of the two is given"
    loaded = settings.load_config(path)
    buffer = loaded.document.buffer
    return StoredBuffer(loaded.directory / buffer.path, buffer.max_bytes)
