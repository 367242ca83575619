"""What a start finds: the run before it, frames that were never committed, and which epoch goes on.

Runs in the writer's thread, inside the transaction that begins the new run: a start that dies halfway
has changed nothing, and the next one finds the same.
"""

import contextlib
import sqlite3
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.buffer import aftermath, rows
from edge_agent.buffer.errors import OtherDevice
from edge_agent.buffer.groups import Groups
from edge_agent.buffer.ledger import Epoch, Ledger
from edge_agent.buffer.pace import most_since
from edge_agent.buffer.reopening import carry_over
from edge_agent.buffer.seal import Take, loss_part, seal
from edge_agent.buffer.segments import Leftovers, RingFrame
from edge_agent.buffer.state import BufferState
from edge_agent.model.failed import mark_failed
from edge_agent.wire import ranges
from edge_agent.wire.batch import (
    MAX_COMPRESSED_BYTES,
    Batch,
    EncodedBatch,
    Kind,
    Origin,
    RecordsPart,
    encode,
)
from edge_agent.wire.errors import WireError
from edge_agent.wire.messages import Event, Loss, LossReason
from edge_agent.wire.schema import Schema
from edge_agent.wire.scripts import covers

# The ring holds all frames of the last commit or none, so the search for what is committed could end at
# the first batch without any of them; this many more in case the ring had missed some.
_LOOK_BACK: Final = 32
# Batches over which the pace of an interrupted run is measured.
_PACE_BATCHES: Final = 60

# Epoch numbers count ten minutes since 2026: 23 bits of a primary key are theirs, which is 159 years.
_NUMBERS_FROM_MS: Final = 1_767_225_600_000
_NUMBER_MS: Final = 600_000
# A clock set to the far future must leave numbers for the epochs that follow.
_HIGHEST_BY_CLOCK: Final = (1 << 23) - (1 << 20)

Progress = dict[tuple[str, str, str], int]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who runs: what names batches and tells one boot of one machine from another."""

    device: str
    run: str
    boot: str
    machine: str

    @property
    def origin(self) -> Origin:
        return Origin(self.device, self.run, self.boot)


@dataclass(frozen=True, slots=True)
class Begun:
    """What the new run starts with. sealed: batches that the start committed, with their seqs. hook_states:
    what was kept of hooks, by their names."""

    state: BufferState
    sealed: list[tuple[int, EncodedBatch]]
    recovered_frames: int
    losses: list[Loss]
    oldest_ms: int | None
    hook_states: dict[str, bytes]


def begin(
    db: sqlite3.Connection,
    identity: Identity,
    found: Leftovers,
    wall_ms: int,
    *,
    has_sink: bool,
    before: Ledger | None = None,
    batch_bytes: int = MAX_COMPRESSED_BYTES,
) -> Begun:
    """Begins a run, and commits what earlier ones left. The caller has opened a transaction.

    before: what this run knew when it had to open the file again.
    Raises OtherDevice where the database was filled under another device id.
    """
    _check_device(db, identity)
    had_sink = rows.get_state(db, "has_sink") is not False
    ledger = rows.load_ledger(db)
    if not had_sink and ledger.epochs:
        # Batches count as delivered without a sink; this was noted in memory alone since the last save.
        ledger.settle(ledger.current.no, [(1, ledger.current.next_seq - 1)])
    totals = rows.load_totals(db, pending=had_sink)
    missing = None if before is None else carry_over(db, ledger, totals, before)
    rows.delete_epochs(db, _forgotten(db, ledger))
    lost = [*_interrupted(db, identity, found, wall_ms)] if before is None else []
    after = aftermath.assess(db, ledger, wall_ms, known=before is None and bool(found.runs))
    why = missing or reason_for_new_epoch(ledger, identity, had_sink=had_sink, has_sink=has_sink)
    if after.salvaged is not None:
        why = aftermath.WHY
        totals = aftermath.totals(db, ledger)
        lost += after.losses
    if why is not None:
        epoch = next_epoch(ledger, identity, wall_ms)
        rows.insert_epoch(db, epoch, why)
        ledger.epochs[epoch.no] = epoch
    _mark_local(db, ledger, has_sink=has_sink)
    rows.insert_schemas(db, found.schemas.items())
    schemas = _Schemas(db)
    fresh, unknown = _uncommitted(db, found, schemas)
    if unknown:
        lost.append(_of_unknown_schema(unknown))
    batches = [
        batch
        for run, frames in fresh.items()
        for batch in seal(
            Origin(identity.device, run, identity.boot),
            _take(frames, schemas, found.failing),
            wall_ms,
            batch_bytes,
        )
    ]
    if lost or after.events:
        batches.append(_seal_records(identity.origin, lost, after.events, wall_ms))
    sealed = rows.insert_batches(db, ledger.current.no, ledger.current.next_seq, batches)
    if after.salvaged is not None:
        after.write_off(ledger, (ledger.current.no, sealed[-1][0]))
    rows.begin_run(db, identity.run, identity.boot, wall_ms, found.runs)
    rows.put_state(db, "has_sink", has_sink)
    state = BufferState(ledger, totals, has_sink)
    state.urgent = _held_urgent(db, ledger)
    rows.save(db, state.saved())
    recovered = sum(len(frames) for frames in fresh.values())
    oldest_ms = rows.select_t0(db, state.first_held())
    return Begun(state, sealed, recovered, lost, oldest_ms, rows.load_hook_states(db))


def _seal_records(
    origin: Origin, lost: Sequence[Loss], events: Sequence[Event], wall_ms: int
) -> EncodedBatch:
    parts = [loss_part(lost)] if lost else []
    if events:
        parts.append(RecordsPart(Kind.EVENT, [event.model_dump(mode="json") for event in events]))
    return encode(origin, parts, wall_ms)


# --- epochs --------------------------------------------------------------------------------------------


def next_epoch(ledger: Ledger, identity: Identity, wall_ms: int) -> Epoch:
    """A new epoch behind all others; not yet part of the ledger.

    The number begins with the clock, so that a database that was lost or replaced by an older copy does
    not give numbers again that the centre has seen: it orders epochs by them.
    """
    by_clock = max(0, wall_ms - _NUMBERS_FROM_MS) // _NUMBER_MS
    number = max(max(ledger.epochs, default=0) + 1, min(by_clock, _HIGHEST_BY_CLOCK))
    return Epoch(number, uuid.uuid4().hex, 1, identity.boot, identity.machine, begun_here=True)


def _check_device(db: sqlite3.Connection, identity: Identity) -> None:
    owner = rows.get_state(db, "device")
    if owner is None:
        rows.put_state(db, "device", identity.device)
    elif owner != identity.device:
        raise OtherDevice(
            f"the buffer holds the data of device {owner!r} and agent.id is {identity.device!r}: "
            "set agent.id back, or move the buffer's files away"
        )


def _mark_local(db: sqlite3.Connection, ledger: Ledger, *, has_sink: bool) -> None:
    """Notes the epochs that are never promised to a centre."""
    local = set(rows.get_state(db, "local_epochs") or ()) & set(ledger.epochs)
    if not has_sink:
        local.add(ledger.current.no)
    for no in local:
        ledger.epochs[no].local = True
    rows.put_state(db, "local_epochs", sorted(local))


def reason_for_new_epoch(
    ledger: Ledger, identity: Identity, *, had_sink: bool = True, has_sink: bool = True
) -> str | None:
    """Why the last epoch cannot go on; None where it can.

    After another boot the disk may have lost commits that it had confirmed, and on another machine the
    database is a copy: either would give used names to other content. Batches that were stored while
    there was no centre are never promised to one, so they do not share an epoch with those that are.
    """
    if not ledger.epochs:
        return "new database"
    current = ledger.current
    if current.machine != identity.machine:
        return "machine changed"
    if current.boot_id != identity.boot:
        return "boot changed"
    if had_sink != has_sink:
        return "sink added" if has_sink else "sink removed"
    return None


def _forgotten(db: sqlite3.Connection, ledger: Ledger) -> list[int]:
    if not ledger.epochs:
        return []
    return ledger.forget([no for no in ledger.epochs if rows.first_stored(db, no) is not None])


def _held_urgent(db: sqlite3.Connection, ledger: Ledger) -> set[int]:
    current = ledger.current.no
    held = ledger.held(current)
    return {seq for seq in rows.select_urgent(db, current) if ranges.contains(held, seq)}


# --- what the last run may have lost --------------------------------------------------------------------


def _interrupted(
    db: sqlite3.Connection, identity: Identity, found: Leftovers, wall_ms: int
) -> Iterable[Loss]:
    """Records of runs that ended without a clean mark, and not all of whose frames the ring can have.

    A run that was killed in this boot left a segment, be it an empty one: without any, somebody removed
    the runtime directory.
    """
    last = rows.unclean_run(db)
    if last is not None and last.id == identity.run:
        # This run, begun by a try whose commit landed before something else failed.
        last = None
    known = rows.finished_runs(db, found.incomplete.keys())
    reasons = {run: why for run, why in found.incomplete.items() if run not in known}
    if last is not None and last.boot != identity.boot:
        reasons[last.id] = "frames since its last commit may be missing"
    elif last is not None and last.id not in found.runs:
        reasons[last.id] = "the frames that it left in the runtime directory are gone"
    newest = rows.newest_sizes(db, _PACE_BATCHES) if reasons else []
    for run, why in reasons.items():
        started = last.started_ms if last is not None else wall_ms
        t0 = newest[-1].t1 if newest else started
        until = max(wall_ms, t0)
        most = most_since(newest, wall_ms)
        yield Loss(
            reason=LossReason.UNCLEAN_STOP,
            t0=t0,
            t1=until,
            exact=False,
            max=most,
            detail=f"run {run} ended without a clean stop: {why}"[:500],
        )


def _of_unknown_schema(frames: list[RingFrame]) -> Loss:
    times = [entry.frame.wall_ms for entry in frames]
    return Loss(
        reason=LossReason.UNREADABLE,
        t0=min(times),
        t1=max(times),
        exact=False,
        max=sum(entry.frame.samples for entry in frames),
        detail=f"{len(frames)} frames that a killed run left are of schemas that are not known any more",
    )


# --- frames that were not committed ---------------------------------------------------------------------


class _Schemas:
    """Schemas of the database by name, each read once. Most are asked for their group alone."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.group = Groups(db).of
        self._known: dict[str, Schema | None] = {}

    def get(self, name: str) -> Schema | None:
        if name not in self._known:
            self._known[name] = None
            body = rows.select_schema(self._db, name)
            if body is not None:
                with contextlib.suppress(WireError):
                    self._known[name] = Schema.from_bytes(body)
        return self._known[name]


def _uncommitted(
    db: sqlite3.Connection, found: Leftovers, schemas: _Schemas
) -> tuple[dict[str, list[RingFrame]], list[RingFrame]]:
    """By run, the frames of the ring that no committed batch holds; and those that nobody can read.

    A frame is committed where a batch has its number or a later one of the same group and run.
    """
    done = rows.finished_runs(db, found.frames.keys())
    waiting = {run: frames for run, frames in found.frames.items() if run not in done}
    first: Progress = {}
    for run, entries in waiting.items():
        for entry in entries:
            group = schemas.group(entry.schema_hash)
            if group is not None:
                first.setdefault((run, *group), entry.frame.n)
    committed = _committed(db, first, schemas) if first else {}
    fresh: dict[str, list[RingFrame]] = {}
    unknown: list[RingFrame] = []
    for run, entries in waiting.items():
        for entry in entries:
            group = schemas.group(entry.schema_hash)
            if group is not None and entry.frame.n <= committed.get((run, *group), 0):
                continue
            if schemas.get(entry.schema_hash) is None:
                unknown.append(entry)
            else:
                fresh.setdefault(run, []).append(entry)
    return fresh, unknown


def _committed(
    db: sqlite3.Connection, first: Mapping[tuple[str, str, str], int], schemas: _Schemas
) -> Progress:
    """The highest committed number, where the ring still has one that is not above it.

    first: by (run, connection, group), the lowest number in the ring.
    """
    progress: Progress = {}
    strangers = 0
    for newest in rows.newest_batches(db):
        strangers += 1
        for key, number in _numbers(newest, schemas).items():
            if number >= first.get(key, number + 1):
                progress[key] = max(progress.get(key, 0), number)
                strangers = 0
        if strangers > _LOOK_BACK:
            break
    return progress


def _numbers(stored: rows.Newest, schemas: _Schemas) -> Progress:
    """The highest frame number of each group in a batch, or among those that its records say were refused
    or dropped for want of disk: all below have been committed or recorded as well."""
    try:
        opened = Batch.open(stored.body, stored.codec, stored.raw)
    except WireError:
        return {}
    losses: list[Loss] = []
    # A record of another version hides no frames of its batch.
    with contextlib.suppress(ValueError):
        losses += [Loss.model_validate(record) for record in opened.records(Kind.LOSS)]
    found: Progress = {}
    for name, (numbers, _) in opened.contents().items():
        group = schemas.group(name)
        if group is not None and numbers:
            key = (opened.origin.run, *group)
            found[key] = max(found.get(key, 0), numbers[-1][1])
    for each in (each for loss in losses if loss.reason is LossReason.QUOTA for each in loss.connections):
        if each.n:
            key = (each.run, each.name, each.group)
            found[key] = max(found.get(key, 0), each.n[-1][1])
    return found


def _take(frames: Iterable[RingFrame], schemas: _Schemas, failing: Mapping[str, bool]) -> Take:
    """failing: what hooks change. No hook has seen these frames, and none will."""
    take = Take()
    named: dict[str, list[bool]] = {}
    for entry in frames:
        schema = schemas.get(entry.schema_hash)
        assert schema is not None, "frames of unknown schemas were put aside"
        frame, found = entry.frame, named.get(schema.hash)
        if found is None:
            found = named[schema.hash] = [
                withheld
                for pattern, withheld in failing.items()
                if covers([pattern], schema.connection, schema.group)
            ]
        if found:
            frame = mark_failed(frame, schema.tag_count, withhold=any(found))
        take.frames.setdefault(schema.hash, (schema, []))[1].append(frame)
    return take
