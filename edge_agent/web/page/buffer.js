// What is kept on the disk, what waits, and how long catching up takes.

import { bar, card, facts, make, mark } from "/dom.js";
import { bytes, count, rate, since, span, t, word } from "/texts.js";

// A backlog of a few flushes is the ordinary coming and going.
const SETTLED_FLUSHES = 5;

export function open(root, { meter }) {
  const top = make("section", { class: "banner small", role: "status" });
  const cards = make("div", { class: "columns" });
  root.append(top, cards);
  return {
    update({ status, now }) {
      showCatchUp(top, status, meter, now);
      cards.replaceChildren(diskCard(status), backlogCard(status, meter, now), ...status.sinks.map((sink) => sinkCard(sink, now)));
    },
  };
}

function catchUp({ sinks, buffer }, meter, now) {
  if (!sinks.length) return ["idle", t("catchup.here"), t("catchup.alone")];
  const oldest = buffer.oldest_pending ? (now - buffer.oldest_pending) / 1000 : 0;
  if (!buffer.pending_batches || oldest < SETTLED_FLUSHES * Math.max(1, buffer.flush_interval_seconds)) return ["good", t("catchup.done"), ""];
  const eta = meter.eta();
  if (eta == null) return ["warn", t("catchup"), t("catchup.measuring")];
  if (eta === Infinity) return ["bad", t("catchup.not"), ""];
  return ["warn", t("catchup"), t("catchup.eta", { span: span(eta) })];
}

function showCatchUp(top, status, meter, now) {
  const [state, title, detail] = catchUp(status, meter, now);
  // Replaced where it differs: a screen reader reads what is new.
  if (top.dataset.said === title + detail) return;
  top.dataset.said = title + detail;
  top.dataset.tone = state;
  top.replaceChildren(make("div", {}, make("p", { class: "state" }, title), detail ? make("p", {}, detail) : null));
}

function diskCard({ buffer, lost_samples: lost }) {
  const share = buffer.quota_bytes ? buffer.size_bytes / buffer.quota_bytes : 0;
  return card(
    t("buffer.size"),
    make("p", { class: "big" }, bytes(buffer.size_bytes), make("span", { class: "soft" }, ` ${t("buffer.quota")} ${bytes(buffer.quota_bytes)}`)),
    bar(share, share > 0.9 ? "bad" : share > 0.5 ? "warn" : "good", t("of", { part: bytes(buffer.size_bytes), whole: bytes(buffer.quota_bytes) })),
    facts([
      [t("buffer.uncommitted"), t("buffer.frames", { count: count(buffer.uncommitted_frames), age: span(buffer.uncommitted_age_seconds) })],
      [t("buffer.flush"), span(buffer.flush_interval_seconds)],
      [t("lost"), count(lost), lost ? "bad" : null],
    ]),
  );
}

function backlogCard({ buffer }, meter, now) {
  const change = meter.pending();
  return card(
    t("buffer.backlog"),
    make("p", { class: "big" }, bytes(buffer.pending_bytes)),
    facts([
      [t("buffer.waiting"), count(buffer.pending_batches)],
      [t("buffer.samples"), count(buffer.pending_samples)],
      [t("buffer.oldest"), buffer.oldest_pending ? t("ago", { span: since(buffer.oldest_pending, now) }) : t("none")],
      [t("buffer.rate"), rate(meter.sent(), bytes)],
      change ? [t(change < 0 ? "buffer.shrink" : "buffer.grow"), rate(Math.abs(change), bytes)] : null,
    ]),
  );
}

function sinkCard(sink, now) {
  return card(
    sink.name,
    make("p", {}, mark(sink.state, word(sink.state))),
    sink.detail ? make("p", { class: "why" }, sink.detail) : null,
    facts([
      [t("last"), sink.last_success ? t("ago", { span: since(sink.last_success, now) }) : "–"],
      [t("sink.delivered"), t("buffer.batches", { count: count(sink.delivered_batches), bytes: bytes(sink.delivered_bytes) })],
      sink.delay_ms == null ? null : [t("sink.delay"), span(sink.delay_ms / 1000)],
      [t("sink.failed"), count(sink.failed_posts)],
    ]),
  );
}
