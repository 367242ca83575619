"""Whether a heartbeat says what the one before said but for its figures, found without reading it.

A heartbeat that was read has an outline: its keys and brackets, with a group in place of each value. Later
ones that fit the outline have the same keys in the same places; where all values but the figures are byte for
byte those of the one that was read, and the figures are valid ones, it is a valid message of the same
standing. Anything else, were it only written another way, is read.

No key of `FIGURES` has a part in `standing`; a test holds them side by side. Agents of one kind share an
outline, so that there are few. For the event loop.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from operator import itemgetter
from typing import Any, Final, NamedTuple

from central_sync.services.devices import health
from edge_agent.wire.messages import Heartbeat

# Longer ones are always read.
MAX_BYTES: Final = 16 << 10
MAX_OUTLINES: Final = 256
# An outline takes milliseconds to compile: so rarely that nobody can keep the loop busy with them.
COMPILE_SECONDS: Final = 1.0

_WHOLE: Final = rb"[1-9][0-9]{0,17}+|0"
# Below 1e18: finite.
_FRACTION: Final = rb"-?(?:[1-9][0-9]{0,17}+|0)(?:\.[0-9]{1,20}+)?(?:e-[0-9]{1,2}+)?"
FIGURES: Final[dict[bytes, bytes]] = {
    **dict.fromkeys(
        (b"now", b"pending_batches", b"pending_bytes", b"pending_samples", b"size_bytes",
         b"uncommitted_frames", b"uncommitted_bytes", b"commits", b"overruns", b"samples", b"good_cycles",
         b"bad_cycles", b"read_samples", b"calls", b"failures", b"kills", b"bad_samples"),
        _WHOLE,
    ),
    **dict.fromkeys((b"uptime_seconds", b"uncommitted_age_seconds"), _FRACTION),
    **dict.fromkeys(
        (b"memory_bytes", b"process_memory_bytes", b"disk_free_bytes", b"free_bytes", b"oldest_pending"),
        b"null|" + _WHOLE,
    ),
    **dict.fromkeys(
        (b"cpu_percent", b"process_cpu_percent", b"load_1m", b"offset_ms", b"latency_ms", b"p50_ms",
         b"p99_ms"),
        b"null|" + _FRACTION,
    ),
}  # fmt: skip
_FITS: Final = {kind: re.compile(kind) for kind in FIGURES.values()}
# Values of these keys are alike among agents of one kind: they are part of the outline, which is faster.
_COMMON: Final = frozenset({
    b"version", b"protocol", b"driver", b"interval_seconds", b"flush_interval_seconds", b"unit_id", b"groups",
    b"lost_samples", b"rebuilds", b"hung_calls", b"connections_ok", b"connections_total",
})  # fmt: skip
_COMMON_VALUES: Final = frozenset({b'""', b"null", b"true", b"false"})
_TEXT: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_PLAIN: Final = rb"[-+.0-9A-Za-z]++"
_TOKEN: Final = re.compile(
    rb"(?P<key>%b)\s*:|(?P<text>%b)|(?P<plain>%b)|[^-+.0-9A-Za-z\"]++" % (_TEXT, _TEXT, _PLAIN), re.DOTALL
)
# What takes the figures' places where it is found which is which. A float holds it exactly.
_MARK: Final = 1 << 50
# How many outlines are tried on a heartbeat whose outline is not known yet.
_TRIED: Final = 32


class Beat(NamedTuple):
    """The figures that the centre uses of a heartbeat."""

    now: int
    cpu_percent: float | None
    memory_bytes: float | None
    disk_free_bytes: float | None
    uptime_seconds: float
    pending_batches: float
    pending_bytes: float


class Steady(NamedTuple):
    """What the centre uses of the rest. troubled: the device is degraded whatever its figures are."""

    version: str
    interval_seconds: float | None
    quota_bytes: int
    troubled: bool
    connections_ok: int
    connections: int


@dataclass(frozen=True, slots=True)
class Like:
    """A heartbeat that was read. outline: its number; rest: the hash of all values but the figures."""

    outline: int
    rest: bytes
    steady: Steady


@dataclass(frozen=True, slots=True)
class _Outline:
    """rest: the groups of all values but the figures. places: of each field of `Beat` the group, or None and
    what it is where it is not sent."""

    pattern: re.Pattern[bytes]
    rest: "itemgetter[Any]"
    places: tuple[tuple[int | None, Any], ...]


def beat_of(message: Heartbeat) -> Beat:
    host, buffer = message.host, message.buffer
    return Beat(
        message.now, host.cpu_percent, host.memory_bytes, host.disk_free_bytes, message.uptime_seconds,
        buffer.pending_batches, buffer.pending_bytes,
    )  # fmt: skip


def steady_of(message: Heartbeat) -> Steady:
    return Steady(
        message.version, message.interval_seconds, message.buffer.quota_bytes, bool(health.lasting(message)),
        message.connections_ok, message.connections_total,
    )  # fmt: skip


class _Part(NamedTuple):
    """A token of a heartbeat. pattern: of what may stand in its place; kind: of a figure."""

    text: bytes
    pattern: bytes
    is_fixed: bool
    kind: bytes | None = None


def _parts(body: bytes) -> Iterator[_Part]:
    """The tokens of valid JSON. Raises ValueError where a figure might be one that is not seen as such."""
    key = b""
    for token in _TOKEN.finditer(body):
        text = token[0]
        if token["key"] is not None:
            key = token["key"][1:-1]
            if b"\\" in key:
                raise ValueError("a key in another spelling")
            yield _Part(text, re.escape(text), True)
            continue
        yield _value(key, text) if token["text"] or token["plain"] else _Part(text, re.escape(text), True)
        key = b""


def _value(key: bytes, text: bytes) -> _Part:
    kind = FIGURES.get(key)
    if kind is not None:
        if not _FITS[kind].fullmatch(text):
            raise ValueError("a figure in another spelling")
        return _Part(text, kind, False, kind)
    if key in _COMMON or text in _COMMON_VALUES:
        return _Part(text, re.escape(text), True)
    if not text.startswith(b'"'):
        return _Part(text, _PLAIN, False)
    return _Part(text, _TEXT if b"\\" in text else rb'"[^"\\]*+"', False)


def _outline(body: bytes) -> _Outline | None:
    """None: such messages are to be read."""
    try:
        parts = list(_parts(body))
        values = [part for part in parts if not part.is_fixed]
        marks = itertools.count(_MARK)
        marked = {id(part): b"%d" % mark for part, mark in zip(values, marks, strict=False) if part.kind}
        message = Heartbeat.model_validate_json(b"".join(marked.get(id(part), part.text) for part in parts))
    except ValueError:
        return None
    rest = [group for group, part in enumerate(values) if part.kind is None]
    if len(rest) < 2:
        return None
    source = b"".join(part.pattern if part.is_fixed else b"(%b)" % part.pattern for part in parts)
    places = tuple(
        (int(value) - _MARK, None) if value is not None and value >= _MARK else (None, value)
        for value in beat_of(message)
    )
    return _Outline(re.compile(source, re.DOTALL), itemgetter(*rest), places)


class Likenesses:
    """The outlines in use, in bounded memory."""

    def __init__(self) -> None:
        self._outlines: dict[int, _Outline] = {}  # the one learned last is last
        self._last = 0
        self._not_before = 0.0

    def learn(self, body: bytes, message: Heartbeat, now: float) -> Like | None:
        """message: what the body says. now: monotonic seconds. None: ones like this are to be read."""
        if len(body) > MAX_BYTES:
            return None
        for number in list(itertools.islice(reversed(self._outlines), _TRIED)):
            found = _fit(self._outlines[number], body)
            if found is not None:
                return Like(number, found[0], steady_of(message))
        return self._add(body, message, now)

    def _add(self, body: bytes, message: Heartbeat, now: float) -> Like | None:
        if now < self._not_before:
            return None
        self._not_before = now + COMPILE_SECONDS
        outline = _outline(body)
        found = _fit(outline, body) if outline else None
        if outline is None or found is None:
            return None
        if len(self._outlines) >= MAX_OUTLINES:
            del self._outlines[next(iter(self._outlines))]
        self._last += 1
        self._outlines[self._last] = outline
        return Like(self._last, found[0], steady_of(message))

    def read(self, like: Like, body: bytes) -> Beat | None:
        """The figures of a body that is like it; None: it is not, or nobody knows."""
        outline = self._outlines.get(like.outline)
        if outline is None or len(body) > MAX_BYTES:
            return None
        found = _fit(outline, body)
        if found is None or found[0] != like.rest:
            return None
        groups = found[1]
        values = [fixed if place is None else _number(groups[place]) for place, fixed in outline.places]
        return Beat(*values)


def _fit(outline: _Outline, body: bytes) -> tuple[bytes, tuple[bytes, ...]] | None:
    """The hash of what is not figures, and all groups."""
    found = outline.pattern.fullmatch(body)
    if found is None:
        return None
    groups = found.groups()
    # NUL is in no valid message, and the number of values is the same: no two lists join to the same.
    return blake2b(b"\0".join(outline.rest(groups)), digest_size=16).digest(), groups


def _number(text: bytes) -> Any:
    if text.isdigit():
        return int(text)
    return None if text == b"null" else float(text)
