"""What a hook makes of a group's schema: which tags it replaces and which it adds. Pure.

A tag of OUTPUTS that the group has is replaced (another type, no scaling; `keep_raw`: the original stands
beside it as NAME.raw), another is added; all others pass as they are. A `Derived` says so in ranges of tags
and of bytes, so that a frame is put together from a few slices, however many tags it has.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Final

import orjson

from edge_agent.hooks.errors import BadReply, ScriptRefused
from edge_agent.hooks.protocol import MAX_OUTPUTS
from edge_agent.hooks.worker.patterns import expand, is_glob, matcher
from edge_agent.wire.errors import WireError
from edge_agent.wire.schema import MAX_ELEMENTS, MAX_NAME_CHARACTERS, Schema, TagSchema, ValueType
from edge_agent.wire.scripts import HOOKS_CONNECTION, Script

# Of a tag that a hook replaced and whose original is kept.
RAW_SUFFIX: Final = ".raw"

# A unit is shown on terminals: nothing in it moves the cursor, or turns the direction in which they write.
_TYPE: Final = re.compile(
    r"([a-z0-9]+)(?:\[([0-9]{1,6})\])?"
    r"(?: +([^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]{1,100}))?"
)
_MAX_DECLARED: Final = 5_000
_MAX_PATTERNS: Final = 100


@dataclass(frozen=True, slots=True)
class Declared:
    """One entry of OUTPUTS. names: empty where `pattern` is to be looked for among a group's tags."""

    pattern: str
    names: tuple[str, ...]
    type: ValueType
    count: int
    unit: str


def declared(outputs: object) -> tuple[Declared, ...]:
    """What a worker says that a script declares. Raises ScriptRefused, and BadReply for what is no answer."""
    if not isinstance(outputs, list) or len(outputs) > _MAX_DECLARED:
        raise BadReply("the worker's OUTPUTS are no list")
    found: list[Declared] = []
    names = patterns = 0
    for entry in outputs:
        if not (isinstance(entry, list) and len(entry) == 2 and all(isinstance(part, str) for part in entry)):
            raise BadReply("an entry of the worker's OUTPUTS is not a name and a type")
        found.append(_declared(*entry))
        names += len(found[-1].names)
        patterns += not found[-1].names
        _check_many("OUTPUTS", names, patterns)
    return tuple(found)


def named(inputs: Sequence[object]) -> tuple[str, ...]:
    """What a worker says that a script's INPUTS are. Raises ScriptRefused and BadReply."""
    names = patterns = 0
    for each in inputs:
        if not isinstance(each, str):
            raise BadReply("an entry of the worker's INPUTS is no name")
        if len(each) > 2 * MAX_NAME_CHARACTERS:
            raise ScriptRefused(f"INPUTS: {each!r:.60} is too long for CONNECTION.TAG")
        names += 0 if is_glob(each) else len(_names(each, "INPUTS"))
        patterns += is_glob(each)
        _check_many("INPUTS", names, patterns)
    return tuple(str(each) for each in inputs)


def _check_many(what: str, names: int, patterns: int) -> None:
    """Names are written out, and patterns looked for among all tags, by the agent itself."""
    if names > MAX_OUTPUTS:
        raise ScriptRefused(f"{what}: more than {MAX_OUTPUTS} tags")
    if patterns > _MAX_PATTERNS:
        raise ScriptRefused(f"{what}: more than {_MAX_PATTERNS} patterns")


def _declared(name: str, text: str) -> Declared:
    if not 0 < len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
        raise ScriptRefused(f"OUTPUTS: {name!r:.60} is no name of a tag")
    match = _TYPE.fullmatch(text)
    if match is None or match[1] not in list(ValueType):
        raise ScriptRefused(
            f"OUTPUTS: {name!r:.60} is of {text!r:.60}, which is not TYPE or TYPE UNIT; types are "
            + ", ".join(ValueType)
        )
    count = int(match[2] or 1)
    if not 1 <= count <= MAX_ELEMENTS:
        raise ScriptRefused(f"OUTPUTS: {name!r:.60}: an array has 1 to {MAX_ELEMENTS} elements")
    return Declared(name, _names(name), ValueType(match[1]), count, match[3] or "")


def _names(name: str, of: str = "OUTPUTS") -> tuple[str, ...]:
    if is_glob(name):
        return ()
    try:
        return tuple(expand(name))
    except ValueError as error:
        raise ScriptRefused(f"{of}: {name!r:.60}: {error}") from error


@dataclass(frozen=True, slots=True)
class Run:
    """Tags `first` … `first + count - 1` of one schema, which stand from `to` on in another."""

    first: int
    count: int
    to: int


@dataclass(frozen=True, slots=True)
class Derived:
    """How frames of `source` and the outputs of a hook become frames of `schema`. A few bytes a tag.

    plan: `outputs` in JSON. count, out_bytes: of the outputs, and of their
    row. floats: type, first byte and end in that row of neighbouring numbers; bools: the same of truth
    values. text_types: of the outputs behind the row, type and count.
    pieces: of a new row, in order: whether of the outputs' row, first byte, behind the last.
    passed: where tags go that are kept. placed: where outputs go. counted: the tag of `schema` that stands
    for each tag of `source` in the account: itself, or what replaces it. timed: replaced tags, to outputs.
    texts: of the new texts, in order: whether of the outputs' texts, and which.
    """

    source: Schema
    schema: Schema
    plan: bytes
    count: int
    out_bytes: int
    floats: tuple[tuple[ValueType, int, int], ...]
    bools: tuple[tuple[int, int], ...]
    text_types: tuple[tuple[ValueType, int], ...]
    pieces: tuple[tuple[bool, int, int], ...]
    passed: tuple[Run, ...]
    placed: tuple[Run, ...]
    counted: tuple[Run, ...]
    timed: tuple[Run, ...]
    texts: tuple[tuple[bool, int], ...]
    all_present: str

    def outputs(self) -> list[list[Any]]:
        """As a worker is told of them."""
        described: list[list[Any]] = orjson.loads(self.plan)
        return described

    @property
    def fixed(self) -> int:
        """How many outputs are in their row; texts stand behind them."""
        return self.count - len(self.text_types)

    @property
    def added(self) -> int:
        """Samples more than the source's, where a frame has all."""
        return self.schema.tag_count - self.source.tag_count


def derive(source: Schema, outputs: Sequence[Declared], script: Script) -> Derived:
    """Raises ScriptRefused where what comes of it cannot be a schema."""
    wanted = _wanted(source, outputs)
    replaced = {tag.name for tag, index in wanted if index >= 0}
    names = frozenset(tag.name for tag in source.tags)
    kept: list[tuple[TagSchema, tuple[bool, int]]] = []
    for index, tag in enumerate(source.tags):
        name = tag.name
        if name in replaced:
            # Of several hooks that keep it, the first has the original.
            if not script.keep_raw or name + RAW_SUFFIX in names:
                continue
            name += RAW_SUFFIX
        kept.append((_renamed(tag, name), (False, index)))
    ordered = sorted(wanted, key=lambda each: _row_order(each[0]))
    made = [(tag, (True, index)) for index, (tag, _) in enumerate(ordered)]
    return _laid_out(source, ordered, [*kept, *made], script)


def derive_like(like: Derived, source: Schema, mark: str) -> Derived:
    """What `derive` makes of a group with the same tags as another; no tag is looked at.

    mark: of the script. Raises ScriptRefused.
    """
    hooks = (*source.hooks, mark)
    try:
        schema = like.schema.of_group(source.connection, source.group, source.unit_id, hooks)
    except WireError as error:
        raise _refused(source, error) from error
    return replace(like, source=source, schema=schema)


def computed(outputs: Sequence[Declared], script: Script) -> Derived:
    """Of a hook without frames: its outputs are tags of connection `hooks`. Raises ScriptRefused."""
    nothing = Schema(HOOKS_CONNECTION, script.name, None, ())
    for each in outputs:
        if not each.names:
            raise ScriptRefused(
                f"OUTPUTS: {each.pattern!r:.60}: only transform and before_forward have patterns"
            )
    return derive(nothing, outputs, script)


def _wanted(source: Schema, outputs: Sequence[Declared]) -> list[tuple[TagSchema, int]]:
    """Each output once: what is named goes before what a pattern finds. A replaced tag keeps its unit of
    measure where OUTPUTS names none."""
    tags = source.tags
    # Not the source's own index, which would stay as long as it does.
    places = {tag.name: index for index, tag in enumerate(tags)}
    found: dict[str, tuple[TagSchema, int]] = {}
    for each in sorted(outputs, key=lambda one: not one.names):
        for name in each.names or _matching(places, each.pattern):
            if name in found:
                if each.names:
                    raise ScriptRefused(f"OUTPUTS: {name!r:.60} stands there twice")
                continue
            index = places.get(name, -1)
            unit = each.unit or (tags[index].unit if index >= 0 else "")
            found[name] = TagSchema(name, each.type, count=each.count, unit=unit), index
    return list(found.values())


def _matching(places: Mapping[str, int], pattern: str) -> list[str]:
    """Originals that an earlier hook kept are not meant."""
    matches = matcher(pattern)
    return [name for name in places if matches(name) and not _is_original(places, name)]


def _is_original(names: Container[str], name: str) -> bool:
    return name.endswith(RAW_SUFFIX) and name.removesuffix(RAW_SUFFIX) in names


def _renamed(tag: TagSchema, name: str) -> TagSchema:
    if tag.name == name:
        return tag
    return TagSchema(name, tag.type, tag.order, tag.count, tag.scale, tag.offset, tag.unit, tag.enum)


def _row_order(tag: TagSchema) -> tuple[int, int]:
    """As `Schema.of` orders."""
    return -tag.type.size, tag.count if tag.type.size else 0


def _laid_out(
    source: Schema,
    outputs: list[tuple[TagSchema, int]],
    tags: list[tuple[TagSchema, tuple[bool, int]]],
    script: Script,
) -> Derived:
    tags.sort(key=lambda each: _row_order(each[0]))
    schema = Schema(
        source.connection, source.group, source.unit_id, tuple(tag for tag, _ in tags),
        (*source.hooks, script.mark),
    )  # fmt: skip
    if tags:
        try:
            schema.check()
        except WireError as error:
            raise _refused(source, error) from error
    passed = {index: at for at, (_, (made, index)) in enumerate(tags) if not made}
    placed = {index: at for at, (_, (made, index)) in enumerate(tags) if made}
    timed = {of: placed[index] for index, (_, of) in enumerate(outputs) if of >= 0}
    text_types = tuple((tag.type, tag.count) for tag, _ in outputs if not tag.type.size)
    count, out_fixed = len(outputs), len(outputs) - len(text_types)
    floats, bools, out_bytes = _checked(outputs)
    return Derived(
        source=source,
        # A copy of a schema has no objects for its tags.
        schema=copy(schema),
        plan=orjson.dumps([[tag.name, str(tag.type), tag.count, index] for tag, index in outputs]),
        count=count,
        out_bytes=out_bytes,
        floats=floats,
        bools=bools,
        text_types=text_types,
        pieces=_pieces(source, outputs, tags),
        passed=_runs(passed.items()),
        placed=_runs(placed.items()),
        counted=_runs({**timed, **passed}.items()),
        timed=_runs(timed.items()),
        texts=tuple(
            (made, index - (out_fixed if made else source.fixed_tags))
            for tag, (made, index) in tags
            if not tag.type.size
        ),
        all_present=((1 << count) - 1).to_bytes((count + 7) // 8, "little").hex(),
    )


def _refused(source: Schema, error: WireError) -> ScriptRefused:
    return ScriptRefused(f"OUTPUTS, for {source.connection}.{source.group}: {error}")


def _checked(
    outputs: Sequence[tuple[TagSchema, int]],
) -> tuple[tuple[tuple[ValueType, int, int], ...], tuple[tuple[int, int], ...], int]:
    """Where in the outputs' row numbers stand that may be none, and truth values; and its size."""
    runs: list[tuple[ValueType, int, int]] = []
    end = 0
    for tag, _ in outputs:
        start, end = end, end + tag.row_bytes
        if runs and runs[-1][0] is tag.type:
            runs[-1] = (tag.type, runs[-1][1], end)
        elif tag.type.size:
            runs.append((tag.type, start, end))
    floats = tuple(run for run in runs if run[0].is_float)
    return floats, tuple((start, last) for type_, start, last in runs if type_ is ValueType.BOOL), end


def _runs(pairs: Iterable[tuple[int, int]]) -> tuple[Run, ...]:
    runs: list[Run] = []
    first = count = to = 0
    for index, at in sorted(pairs):
        if count and first + count == index and to + count == at:
            count += 1
            continue
        if count:
            runs.append(Run(first, count, to))
        first, count, to = index, 1, at
    if count:
        runs.append(Run(first, count, to))
    return tuple(runs)


def _pieces(
    source: Schema,
    outputs: list[tuple[TagSchema, int]],
    tags: list[tuple[TagSchema, tuple[bool, int]]],
) -> tuple[tuple[bool, int, int], ...]:
    out_edges = list(accumulate((tag.row_bytes for tag, _ in outputs), initial=0))
    pieces: list[tuple[bool, int, int]] = []
    for tag, (made, index) in tags:
        if not tag.type.size:
            break
        edges = out_edges if made else source.edges
        start, end = edges[index], edges[index + 1]
        if pieces and pieces[-1][0] == made and pieces[-1][2] == start:
            pieces[-1] = (made, pieces[-1][1], end)
        else:
            pieces.append((made, start, end))
    return tuple(pieces)
