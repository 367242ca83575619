"""What a running agent keeps of a document: the settings of its own, and a digest of each connection.

The models of 100,000 tags take 100 MiB. Comparing two documents needs none of them.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson
from pydantic import BaseModel

from edge_agent.config.models import Document
from edge_agent.wire.scripts import Script


@dataclass(frozen=True, slots=True)
class Outline:
    """`head`: the document without connections. `connections`, `scripts`: each one's digest, in its order.

    digest: SHA-256 over all settings and scripts, defaults and secrets included, hexadecimal. Two documents
    that mean the same have the same, however they are written.
    """

    head: Document
    connections: Mapping[str, str]
    digest: str
    scripts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Document, scripts: Iterable[Script] = ()) -> "Outline":
        head = document.model_copy(update={"connections": []})
        connections = {connection.name: _digest(connection) for connection in document.connections}
        digests = {script.name: script.sha256 for script in scripts}
        lines = [_digest(head), *connections.values(), *digests.values()]
        whole = hashlib.sha256("\n".join(lines).encode())
        return cls(head, connections, whole.hexdigest(), digests)


def _digest(settings: BaseModel) -> str:
    data = settings.model_dump(mode="json")
    return hashlib.sha256(orjson.dumps(data, option=orjson.OPT_SORT_KEYS)).hexdigest()
