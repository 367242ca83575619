"""Hook scripts as they travel, and what names and signs them (docs/specs/scripts-v1.md).

A script is its source and the settings that decide what it is run on. Its digest covers both, so that no
version can be mistaken for another; a signature is made over the same bytes.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final

import orjson
from pydantic import Field

from edge_agent.wire.messages import Message, Name, Number, Text

MAX_SOURCE_BYTES: Final = 64 << 10
MAX_SCRIPTS: Final = 64
# In `groups` of all scripts of a set: each is compared with each group.
MAX_PATTERNS: Final = 500
MAX_PATTERN: Final = 300
MAX_STARS: Final = 8
# Before the canonical bytes where they are signed, so that a signature is of use for nothing else.
SIGNED_PREFIX: Final = b"holdfast hook v1\n"
# Before a public key, so that another kind can stand beside it one day.
KEY_KIND: Final = "ed25519:"
_KEY_BYTES: Final = 32
# The connection that computed tags of hooks belong to which no group's frames carry; its group is the hook.
HOOKS_CONNECTION: Final = "hooks"


class HookPoint(StrEnum):
    """Where a script is run; also the name of the function that it must define."""

    ON_CONNECT = "on_connect"
    TRANSFORM = "transform"
    ON_CYCLE = "on_cycle"
    BEFORE_FORWARD = "before_forward"
    ON_ALERT = "on_alert"
    ON_SCHEDULE = "on_schedule"

    @property
    def has_frames(self) -> bool:
        """Whether it is given frames and changes them."""
        return self in (HookPoint.TRANSFORM, HookPoint.BEFORE_FORWARD)


class OnFailure(StrEnum):
    """What becomes of samples that a hook failed on, always marked `bad_hook`. RAW: they go on as they were.
    WITHHOLD: their values are null, for hooks that keep something private."""

    RAW = "raw"
    WITHHOLD = "withhold"


def key_bytes(text: str) -> bytes | None:
    """Of a public key as configs have it: `ed25519:` and base64. None: it is none."""
    try:
        data = base64.b64decode(text.removeprefix(KEY_KIND), validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if text.startswith(KEY_KIND) and len(data) == _KEY_BYTES else None


class Signature(Message):
    """key: its name in the edge's `hooks.require_signature`. signature: of Ed25519, base64."""

    key: Name
    signature: Annotated[str, Field(max_length=100)]


class Script(Message):
    """One hook. `groups`: patterns of CONNECTION.GROUP that its frames or cycles are of (`*` is any text).

    version: the centre's number, 0 for a local file. timeout_ms, None: the agent's default. worker: hooks of
    one name share a process; empty: one of its own. schedule: cron, of `timezone`, for on_schedule.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=51)]
    hook_type: HookPoint
    source: Annotated[str, Field(min_length=1, max_length=MAX_SOURCE_BYTES)]
    groups: list[Text] = Field(default_factory=lambda: ["*"], max_length=1_000)
    keep_raw: bool = False
    on_failure: OnFailure = OnFailure.RAW
    timeout_ms: Annotated[int, Field(ge=1, le=60_000)] | None = None
    worker: Annotated[str, Field(max_length=51)] = ""
    schedule: Text = ""
    timezone: Annotated[str, Field(max_length=64)] = "UTC"
    version: Number = 0
    signatures: list[Signature] = Field(default_factory=list, max_length=16)

    @property
    def canonical(self) -> bytes:
        """What digest and signatures are made over: all but `version` and `signatures`."""
        return orjson.dumps(
            self.model_dump(mode="json", exclude={"version", "signatures"}), option=orjson.OPT_SORT_KEYS
        )

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.canonical).hexdigest()

    @property
    def mark(self) -> str:
        """As records and schemas name it: `NAME@` and the first 16 digits of its digest."""
        return f"{self.name}@{self.sha256[:16]}"


def covers(patterns: Iterable[str], connection: str, group: str) -> bool:
    """Whether patterns of CONNECTION.GROUP name this group. Only `*` has a meaning in them."""
    name = f"{connection}.{group}"
    return any(_fits(pattern, name) for pattern in patterns)


def pattern_fault(patterns: list[str]) -> str:
    """Why no device takes a script from a centre with these; empty: it does."""
    if not patterns:
        return "is for no groups"
    if any(len(each) > MAX_PATTERN or each.count("*") > MAX_STARS for each in patterns):
        return f"has a pattern in groups of more than {MAX_PATTERN} characters, or {MAX_STARS} stars"
    return ""


def _fits(pattern: str, name: str) -> bool:
    """No regular expression: to compile those of a hostile set would keep the loop for minutes."""
    first, *others = pattern.split("*")
    if not others:
        return pattern == name
    last = others.pop()
    at, end = len(first), len(name) - len(last)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for part in others:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


class ScriptSet(Message):
    """What the centre serves a device: all of its scripts, in the order in which they are run."""

    scripts: list[Script] = Field(default_factory=list, max_length=MAX_SCRIPTS)
