// Rates from two looks at the agent's counters, as `edge-agent top` reckons them: nothing is counted twice.

const WINDOW_SECONDS = 20;

export class Meter {
  constructor() {
    this.looks = [];
  }

  add(status) {
    const last = this.looks.at(-1);
    if (last && (last.run !== status.run || last.at > status.uptime_seconds)) this.looks = [];
    if (last && last.at === status.uptime_seconds) return;
    this.looks.push({
      run: status.run,
      at: status.uptime_seconds,
      pending: status.buffer.pending_bytes,
      stored: status.stored_samples ?? 0,
      read: new Map(status.accounting.map((entry) => [entry.connection, entry.read])),
      sent: status.sinks.reduce((sum, sink) => sum + sink.delivered_bytes, 0),
    });
    while (this.looks.length > 2 && this.looks.at(-1).at - this.looks[0].at > WINDOW_SECONDS) this.looks.shift();
  }

  // Change of a figure per second over the window; null before the second look.
  per(figure) {
    if (this.looks.length < 2) return null;
    const [first, last] = [this.looks[0], this.looks.at(-1)];
    const change = figure(last) - figure(first);
    return Number.isFinite(change) ? change / (last.at - first.at) : null;
  }

  read(connection) {
    return this.per((look) => look.read.get(connection) ?? NaN);
  }

  readAll() {
    return this.per((look) => [...look.read.values()].reduce((sum, each) => sum + each, 0));
  }

  stored() {
    return this.per((look) => look.stored);
  }

  sent() {
    return this.per((look) => look.sent);
  }

  // Bytes per second; negative while the backlog shrinks.
  pending() {
    return this.per((look) => look.pending);
  }

  // Seconds until nothing waits any more; Infinity where it does not get less, null where it is not known.
  eta() {
    const change = this.pending();
    if (change == null) return null;
    return change < 0 ? this.looks.at(-1).pending / -change : Infinity;
  }
}
