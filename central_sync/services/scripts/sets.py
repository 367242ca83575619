"""What a device is served: its scripts in order as canonical bytes; the ETag is their SHA-256. Pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from edge_agent.wire.scripts import MAX_PATTERNS, MAX_SCRIPTS, Signature


@dataclass(frozen=True, slots=True)
class ServedScripts:
    """A `ScriptSet`, byte for byte as the ETag names it. count: scripts in it."""

    etag: str
    body: bytes
    count: int


def served(scripts: Iterable[tuple[bytes, int, bytes]]) -> ServedScripts:
    """The first of these, as many as a device takes. Of each: its canonical bytes, its version, and its
    signatures as they are stored."""
    members: list[bytes] = []
    patterns = 0
    for body, version, signatures in scripts:
        whole = {**orjson.loads(body), "version": version, "signatures": orjson.loads(signatures)}
        patterns += len(whole["groups"])
        if len(members) == MAX_SCRIPTS or patterns > MAX_PATTERNS:
            break
        members.append(orjson.dumps(whole, option=orjson.OPT_SORT_KEYS))
    text = b'{"scripts":[%s]}' % b",".join(members)
    return ServedScripts(hashlib.sha256(text).hexdigest()[:32], text, len(members))


def pack_signatures(signatures: Iterable[Signature]) -> bytes:
    return orjson.dumps([{"key": each.key, "signature": each.signature} for each in signatures])
