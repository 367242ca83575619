"""The table of seeded faults: see `mutations`."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Mutation:
    """path: from the repository's root. old: stands there exactly once. suites: that were seen to fail."""

    name: str
    path: str
    old: str
    new: str
    why: str
    suites: frozenset[str]


_KILL: Final = frozenset({"kill"})
_POWER: Final = frozenset({"power-cut"})
_SIMULATION: Final = frozenset({"simulation"})
_MODEL: Final = frozenset({"simulation", "model"})

_STORE: Final = "edge_agent/buffer/store.py"
_FILE: Final = "edge_agent/buffer/file.py"
_COMMIT: Final = "edge_agent/buffer/commit.py"
_AMENDMENTS: Final = "edge_agent/buffer/amendments.py"
_FRAMES: Final = "edge_agent/buffer/frames.py"
_RECOVERY: Final = "edge_agent/buffer/recovery.py"
_FLOW: Final = "edge_agent/hooks/flow.py"
_DELIVERY: Final = "edge_agent/uplink/delivery.py"
_CENTRE_INGEST: Final = "central_sync/store/ingest.py"

MUTATIONS: Final = (
    # --- what a power cut or a kill must tell ----------------------------------------------------------
    Mutation(
        "edge-synchronous-normal",
        _FILE,
        'db.execute("PRAGMA synchronous=FULL")',
        'db.execute("PRAGMA synchronous=NORMAL")',
        "a commit returns before it is on the medium",
        _POWER,
    ),
    Mutation(
        "centre-synchronous-normal",
        "central_sync/store/database.py",
        'connection.execute("PRAGMA synchronous = FULL")',
        'connection.execute("PRAGMA synchronous = NORMAL")',
        "the centre acknowledges what is not on its medium",
        _POWER,
    ),
    Mutation(
        "edge-acknowledges-before-commit",
        _FILE,
        '    db.execute("BEGIN IMMEDIATE")\n    try:\n        result = body()\n'
        '        db.execute("COMMIT")\n',
        '    if db.in_transaction:\n        db.execute("COMMIT")\n    db.execute("BEGIN IMMEDIATE")\n'
        "    try:\n        result = body()\n",
        "a flush returns, the ring lets go and the batch is sent: its commit comes with the next flush",
        _POWER | _KILL | _SIMULATION,
    ),
    Mutation(
        "centre-answers-before-commit",
        "central_sync/store/writer.py",
        '                self._attempt(connection, job)\n            connection.execute("COMMIT")\n',
        "                self._attempt(connection, job)\n            self._answer(group)\n"
        '            time.sleep(0.02)\n            connection.execute("COMMIT")\n',
        "the centre acknowledges what its death can still undo",
        _POWER | _KILL,
    ),
    Mutation(
        "ring-released-before-commit",
        _STORE,
        "mark = self._ring.rotate()\n",
        "mark = self._ring.rotate()\n        self._ring.release(mark)\n",
        "a process killed during its commit has lost the frames of it",
        _SIMULATION,
    ),
    Mutation(
        "ring-not-written",
        _FRAMES,
        "cost = self._ring.append(schema.hash, frame) + _OVERHEAD_BYTES",
        "cost = len(frame.row) + _OVERHEAD_BYTES",
        "a killed process loses what it has not committed",
        _KILL | _SIMULATION,
    ),
    Mutation(
        "ring-replayed-twice",
        _RECOVERY,
        "if group is not None and entry.frame.n <= committed.get((run, *group), 0):",
        "if group is not None and entry.frame.n <= 0:",
        "frames that were committed right before the kill are committed again",
        _SIMULATION,
    ),
    # --- hooks -----------------------------------------------------------------------------------------
    Mutation(
        "hook-state-before-its-batch",
        _COMMIT,
        "        done = transaction(db, lambda: self._store(db, order, order.sealed or []))\n",
        "        transaction(db, lambda: rows.put_hook_states(db, order.states))\n"
        "        done = transaction(db, lambda: self._store(db, order, order.sealed or []))\n",
        "the state of a hook is kept, and the frames that it was made with are not",
        _KILL,
    ),
    Mutation(
        "frames-that-no-hook-saw-not-marked",
        _RECOVERY,
        "            frame = mark_failed(frame, schema.tag_count, withhold=any(found))\n",
        "            assert frame\n",
        "what a killed agent left goes on as if its hooks had seen it",
        _KILL,
    ),
    Mutation(
        "failed-commit-hooks-again",
        _FRAMES,
        "        newer, self._fresh, self._taken = self._fresh, taken, None\n",
        "        newer, self._fresh, self._taken = self._fresh, taken, None\n"
        "        if taken.done is not None:\n"
        "            taken.frames, taken.done = taken.done.frames, None\n",
        "what hooks made goes through them once more where a commit failed",
        _KILL,
    ),
    Mutation(
        "failed-samples-not-marked",
        _FLOW,
        "            item.frame = mark_failed(item.frame, item.schema.tag_count, withhold=hook.withholds)\n",
        "            assert item.frame\n",
        "samples whose hook was killed go on as if it had seen them",
        _KILL,
    ),
    Mutation(
        "frames-of-a-killed-worker-dropped",
        _FLOW,
        "            hook.spoiled(item.frame.samples)\n",
        "            self.lanes[item.raw.connection, item.raw.group].remove(item)\n",
        "what a worker had when it was killed is gone with it",
        _KILL,
    ),
    # --- names -----------------------------------------------------------------------------------------
    Mutation(
        "epoch-goes-on-after-another-boot",
        _RECOVERY,
        "if current.boot_id != identity.boot:",
        "if current.boot_id == identity.run:",
        "where the disk lied about its commits, used names are given to other content",
        _SIMULATION,
    ),
    Mutation(
        "conflict-not-compared",
        _CENTRE_INGEST,
        "elif known == verified.item.hash:",
        "elif known is not None:",
        "other content under a used name is acknowledged as a repeat, and gone",
        _SIMULATION,
    ),
    Mutation(
        "names-not-deduplicated",
        _CENTRE_INGEST,
        "elif present and ranges.contains(present, seq):",
        "elif present and epoch.no < 0:",
        "the centre takes a repeat for something new",
        _SIMULATION,
    ),
    # --- what counts as delivered ----------------------------------------------------------------------
    Mutation(
        "settled-on-send",
        _DELIVERY,
        "        answer = await self._centre.upload(body)\n",
        "        self._outbox.acknowledge(epoch_no, ranges.of_numbers(item.seq for item in part))\n"
        "        answer = await self._centre.upload(body)\n",
        "what was sent counts as delivered, answered or not",
        _MODEL,
    ),
    Mutation(
        "partial-answer-taken-as-whole",
        _DELIVERY,
        "acked = self._acknowledge(epoch_no, part, answer.acked)",
        "acked = self._acknowledge(epoch_no, part, ranges.of_numbers(item.seq for item in part))",
        "batches whose schema the centre lacks count as delivered",
        _SIMULATION,
    ),
    Mutation(
        "answer-of-another-epoch-trusted",
        _DELIVERY,
        "if answer.epoch != head.epoch:",
        "if not answer.epoch:",
        "an answer that belongs to another upload settles this one",
        _SIMULATION,
    ),
    Mutation(
        "floor-above-what-is-held",
        "edge_agent/buffer/ledger.py",
        "return settled[0][1] + 1 if settled and settled[0][0] == 1 else 1",
        "return max(1, settled[-1][1] + 1 if settled else 1)",
        "the agent promises what it still holds: a hole behind the floor",
        _SIMULATION,
    ),
    Mutation(
        "resend-ignored",
        _AMENDMENTS,
        "missing = ranges.subtract(ranges.intersect(missing, epoch.settled), ledger.off(epoch_no))",
        "missing = ranges.subtract(missing, missing)",
        "a centre that was restored from a backup stays without what it had acknowledged since",
        _SIMULATION,
    ),
    Mutation(
        "resend-not-asked-for",
        "central_sync/services/data/accounting.py",
        "return list(islice(missing, MAX_NAMED))",
        "return list(islice(missing, 0))",
        "a centre that was restored from a backup does not ask for what it lacks",
        _SIMULATION,
    ),
    Mutation(
        "unknown-schema-acknowledged",
        _CENTRE_INGEST,
        "receipt.acked = ranges.union(new, repeated)",
        "receipt.acked = ranges.of_numbers(verified.item.seq for verified in upload.batches)",
        "the centre acknowledges batches that it did not store",
        _MODEL,
    ),
    # --- losses ----------------------------------------------------------------------------------------
    Mutation(
        "loss-record-outside-the-transaction",
        _AMENDMENTS,
        "        rows.insert_batches(db, *name, [sealed])\n",
        '        db.execute("SAVEPOINT record")\n        rows.insert_batches(db, *name, [sealed])\n'
        '        db.execute("ROLLBACK TO record")\n        db.execute("RELEASE record")\n',
        "what is written off is on the disk and its loss record in memory alone",
        _SIMULATION,
    ),
    Mutation(
        "forgotten-without-a-record",
        _AMENDMENTS,
        "            if not gone:\n                return Written(None, stored=stored, urgent=urgent)",
        "            if gone and not stored.seqs:\n                return None\n            if not gone:\n"
        "                return Written(None, stored=stored, urgent=urgent)",
        "the centre asks for what was pruned, and no loss record answers",
        _SIMULATION,
    ),
    Mutation(
        "power-cut-not-recorded",
        _RECOVERY,
        "    last = rows.unclean_run(db)\n",
        "    last = None\n",
        "frames that a power cut took are in no record",
        _SIMULATION,
    ),
    Mutation(
        "pruned-before-delivered",
        _COMMIT,
        "            saved.settled,\n            old=",
        "            [(0, totals.newest)],\n            old=",
        "old batches go, delivered or not",
        _SIMULATION,
    ),
    # --- frames in memory ------------------------------------------------------------------------------
    Mutation(
        "failed-commit-drops-newer-frames",
        _FRAMES,
        "taken.frames.setdefault(name, (schema, []))[1].extend(frames)",
        "taken.frames.setdefault(name, (schema, frames))",
        "frames that came during a commit that failed are gone",
        _SIMULATION,
    ),
    Mutation(
        "failed-commit-reverses-order",
        _FRAMES,
        "taken.frames.setdefault(name, (schema, []))[1].extend(frames)",
        "taken.frames[name] = (schema, frames + taken.frames.get(name, (schema, []))[1])",
        "frames that came during a commit that failed stand before those that it had",
        _SIMULATION,
    ),
    # --- lanes -----------------------------------------------------------------------------------------
    Mutation(
        "batch-between-the-lanes",
        "edge_agent/uplink/lanes.py",
        "wanted = ranges.intersect(held, [(1, cursor - 1)])",
        "wanted = ranges.intersect(held, [(1, cursor - 2)])",
        "the batch right below the cursor is nobody's",
        _SIMULATION,
    ),
    Mutation(
        "backlog-first",
        "edge_agent/uplink/uploader.py",
        "return head.no, [(left[-1][1], left[-1][1])]",
        "return head.no, [(left[0][0], left[0][0])]",
        "the centre returns and gets the oldest value first",
        _SIMULATION,
    ),
)
