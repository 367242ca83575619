"""The JSON messages between agent and centre: heads, acknowledgements, heartbeats, configs, losses.

Frozen. A reader ignores fields it does not know, so that either side can be the newer one; times are
UTC milliseconds; ranges are inclusive pairs `[lo, hi]`.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Number = Annotated[int, Field(ge=0, lt=1 << 62)]
Pair = tuple[Number, Number]
# Stops at the first error: a body full of them would cost a report of each.
Pairs = Annotated[list[Pair], Field(max_length=100_000, fail_fast=True)]
# A batch's number within its epoch; its primary key is epoch number << 40 | seq.
Seq = Annotated[int, Field(ge=1, le=1 << 40)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Text = Annotated[str, Field(max_length=2_000)]


class Message(BaseModel):
    # Built at first use: most of them are not needed for a start.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, defer_build=True)


class Head(Message):
    """An agent's account of one epoch: what it still holds and what it promises.

    Every seq below `floor` was acknowledged, or lies in a loss that was acknowledged. `held` are the
    undelivered ranges, `next` the seq that the next batch will get. `no` orders a device's epochs.
    """

    epoch: Name
    no: Annotated[int, Field(ge=0, lt=1 << 23)]
    run: Name
    boot: Text
    floor: Seq
    next: Seq
    held: Pairs = []
    now: Number
    sync: bool | None = None
    term: Number | None = None


class RejectCode(StrEnum):
    """Why the centre refuses one batch for good."""

    HASH_MISMATCH = "hash_mismatch"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNKNOWN_CODEC = "unknown_codec"


class Rejection(Message):
    seq: Number
    code: str
    message: Text = ""


class ConflictAnswer(Message):
    """The names of an upload that are stored with other content: members of the problem document of a 409."""

    epoch: str
    conflicts: Pairs


class UploadAnswer(Message):
    """200 to an upload, after the centre's commit. Only `acked` counts as delivered.

    `centre` and `epoch` have no default: an answer without them is not from a centre.
    """

    centre: Name
    epoch: Name
    acked: Pairs
    need_schemas: list[str] = []
    rejected: list[Rejection] = []
    resend: Pairs = []
    send_interval: float | None = None
    config_etag: str | None = None
    scripts_etag: str | None = None
    commands_waiting: Number = 0


class UnitReport(Message):
    """One station. `state`: answering, silent (its breaker is open), probing (one read may try), refusing
    (it answers and gives no value). `vendor`, `product`, `revision`: as it says itself, if it does."""

    unit_id: Number | None = None
    state: str
    error: Text = ""
    groups: Number = 0
    good_cycles: Number = 0
    bad_cycles: Number = 0
    vendor: Text = ""
    product: Text = ""
    revision: Text = ""


class GroupReport(Message):
    """How long ago a group brought something. `state`: live; waiting (nothing has come yet); late, stale and
    silent: nothing for one, two and three deadlines. last_data: on the wall clock."""

    name: Text
    unit_id: Number | None = None
    state: str
    last_data: Number | None = None
    age_seconds: float | None = None
    deadline_seconds: float = 0.0


class ConnectionReport(Message):
    """One connection as the agent sees it. `state`: connected, connecting, down, stopped.

    groups: in a heartbeat those that are late or worse. rebuilds: how often its link was built anew because
    nothing came. hung_calls: calls of its driver that could not even be cancelled.
    """

    name: Text
    driver: Text
    state: str
    address: Text = ""
    since: Number = 0
    error: Text = ""
    latency_ms: float | None = None
    overruns: Number = 0
    samples: Number = 0
    units: list[UnitReport] = []
    groups: list[GroupReport] = []
    rebuilds: Number = 0
    hung_calls: Number = 0


class BufferReport(Message):
    """The buffer and its disk. `state`: ok, full (room was made, or samples refused, lately), failing (the
    last write did not succeed); error: why. size_bytes: all that the quota covers. lost_samples: in this
    run, for want of memory or disk."""

    pending_batches: Number = 0
    pending_bytes: Number = 0
    pending_samples: Number = 0
    size_bytes: Number = 0
    quota_bytes: Number = 0
    oldest_pending: Number | None = None
    uncommitted_frames: Number = 0
    uncommitted_age_seconds: float = 0.0
    uncommitted_bytes: Number = 0
    flush_interval_seconds: float = 0.0
    commits: Number = 0
    state: str = "ok"
    error: str = ""
    since: Number | None = None
    free_bytes: Number | None = None
    lost_samples: Number = 0


class ClockReport(Message):
    sync: bool | None = None
    offset_ms: float | None = None


class ConfigState(StrEnum):
    LOCAL = "local"
    APPLIED = "applied"
    APPLIED_WITH_WARNINGS = "applied_with_warnings"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"


class ConfigReport(Message):
    """What became of the centre's config: the last version seen, the one that runs, and why."""

    state: ConfigState = ConfigState.LOCAL
    seen_version: Number | None = None
    applied_version: Number | None = None
    etag: str | None = None
    code: str = ""
    message: Annotated[str, Field(max_length=20_000)] = ""
    running_hash: str = ""


class HostReport(Message):
    cpu_percent: float | None = None
    memory_bytes: Number | None = None
    memory_total_bytes: Number | None = None
    process_cpu_percent: float | None = None
    process_memory_bytes: Number | None = None
    disk_free_bytes: Number | None = None
    disk_total_bytes: Number | None = None
    load_1m: float | None = None


class HookReport(Message):
    """One hook as the agent runs it. state: running, off (its breaker is open), refused (never started:
    why is in `error`), starting.

    calls, failures: in this run. p50_ms, p99_ms: of its latest calls, there and back. since: of the state.
    origin: local or centre. prints: on the device alone, not in a heartbeat.
    """

    name: Text
    hook_type: Text
    state: Text
    origin: Text = "local"
    version: Number = 0
    sha256: Text = ""
    error: Text = ""
    line: Number | None = None
    since: Number = 0
    calls: Number = 0
    failures: Number = 0
    kills: Number = 0
    bad_samples: Number = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    next_try: Number | None = None
    prints: Annotated[str, Field(max_length=4_096)] = ""


class HooksReport(Message):
    """layers: each layer of the sandbox by name, with `on` or why it is not. etag, state, message: what
    became of the centre's scripts (none, applied, rejected)."""

    hooks: Annotated[list[HookReport], Field(max_length=1_000)] = []
    layers: dict[str, str] = {}
    etag: str | None = None
    state: Text = "none"
    message: Annotated[str, Field(max_length=20_000)] = ""


class Heartbeat(Message):
    """Sent every `interval_seconds` (30 s); also at start and when a connection's state changes.

    heads: of every epoch that still has batches here, delivered or not, the current one last.
    metrics_listen: HOST:PORT where Prometheus may scrape the agent; empty: nowhere. hooks: None where the
    agent has none.
    """

    now: Number
    version: Text
    protocol: Number
    run: Name
    boot: Text
    machine: Text
    uptime_seconds: float
    interval_seconds: float | None = None
    host: HostReport = HostReport()
    clock: ClockReport = ClockReport()
    buffer: BufferReport = BufferReport()
    config: ConfigReport = ConfigReport()
    connections_ok: Number = 0
    connections_total: Number = 0
    connections: Annotated[list[ConnectionReport], Field(max_length=10_000)] = []
    heads: Annotated[list[Head], Field(max_length=1_000)] = []
    read_samples: Number = 0
    lost_samples: Number = 0
    labels: dict[str, str] = {}
    metrics_listen: Text = ""
    hooks: HooksReport | None = None


class Resend(Message):
    """What the centre lacks of an epoch although it once acknowledged it: it was restored or wiped."""

    epoch: Name
    seqs: Pairs


class HeartbeatAnswer(Message):
    centre: Name
    now: Number
    resend: Annotated[list[Resend], Field(max_length=1_000)] = []
    heartbeat_interval: float | None = None
    send_interval: float | None = None
    config_etag: str | None = None
    scripts_etag: str | None = None
    commands_waiting: Number = 0


class ConfigEnvelope(Message):
    """The centre's config for one device: managed sections of the YAML's shape, whole or absent."""

    version: Number
    sections: dict[str, JsonValue]


class LossReason(StrEnum):
    """Why something will not come under its name. `renamed` takes no sample: they come under new names."""

    QUOTA = "quota"
    REJECTED = "rejected"
    UNREADABLE = "unreadable"
    UNCLEAN_STOP = "unclean_stop"
    CENTRE_FORGOT = "centre_forgot"
    OVERRUN = "overrun"
    RENAMED = "renamed"


class LossConnection(Message):
    """What a loss took from one group: frame numbers and samples of one run."""

    name: Text
    group: Text
    run: Text
    n: Pairs = []
    samples: Number = 0


class Loss(Message):
    """What will never arrive, and why. `exact` says whether the counts are counted or bounds (`max`)."""

    reason: LossReason
    sink: str = "central"
    epoch: str = ""
    seqs: Pairs = []
    connections: list[LossConnection] = []
    t0: Number
    t1: Number
    exact: bool = True
    max: Number | None = None
    detail: Text = ""


class Event(Message):
    """Something an operator should see in the device's history."""

    time: Number
    code: str
    message: Text
    connection: str | None = None
    data: dict[str, Any] = {}
