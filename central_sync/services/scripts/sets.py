"""What a device is served: its scripts in order as canonical bytes; the ETag is their SHA-256. Pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from edge_agent.wire.scripts import Signature


@dataclass(frozen=True, slots=True)
class ServedScripts:
    """A `ScriptSet`, byte for byte as the ETag names it."""

    etag: str
    body: bytes


def member(body: bytes, version: int, signatures: bytes) -> bytes:
    """One script of a set. body: its canonical bytes; signatures: as they are stored."""
    whole = {**orjson.loads(body), "version": version, "signatures": orjson.loads(signatures)}
    return orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)


def served(members: Iterable[bytes]) -> ServedScripts:
    body = b'{"scripts":[%s]}' % b",".join(members)
    return ServedScripts(hashlib.sha256(body).hexdigest()[:32], body)


def pack_signatures(signatures: Iterable[Signature]) -> bytes:
    return orjson.dumps([{"key": each.key, "signature": each.signature} for each in signatures])
