"""What of a heartbeat must be on the disk before it is answered, as one hash: everything but the figures.

Two heartbeats of one standing differ in times, loads and counters alone. The heads are part of it: nothing
that is promised of batches is answered before its commit (docs/specs/batch-v1.md, part 7).
"""

from hashlib import blake2b

from edge_agent.wire.messages import ConnectionReport, Heartbeat, HooksReport


def standing(message: Heartbeat) -> bytes:
    buffer, config = message.buffer, message.config
    facts = (
        message.version, message.protocol, message.run, message.boot, message.machine,
        message.interval_seconds, message.lost_samples, message.clock.sync,
        buffer.state, buffer.error, buffer.lost_samples, buffer.quota_bytes,
        str(config.state), config.seen_version, config.applied_version, config.etag, config.code,
        config.message, config.running_hash,
        message.connections_ok, message.connections_total,
        [_connection(report) for report in message.connections],
        [(head.epoch, head.no, head.run, head.floor, head.next, head.held) for head in message.heads],
        sorted(message.labels.items()),
        message.hooks and _hooks(message.hooks),
    )  # fmt: skip
    return blake2b(repr(facts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _connection(report: ConnectionReport) -> tuple[object, ...]:
    return (
        report.name, report.driver, report.state, report.address, report.since, report.error,
        report.rebuilds, report.hung_calls,
        [(unit.unit_id, unit.state, unit.error, unit.vendor, unit.product, unit.revision)
         for unit in report.units],
        [(group.name, group.unit_id, group.state) for group in report.groups],
    )  # fmt: skip


def _hooks(report: HooksReport) -> tuple[object, ...]:
    return (
        report.etag, report.state, report.message, sorted(report.layers.items()),
        [(hook.name, hook.hook_type, hook.state, hook.origin, hook.version, hook.sha256, hook.error,
          hook.line, hook.since)
         for hook in report.hooks],
    )  # fmt: skip
