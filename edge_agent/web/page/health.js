// What is wrong, in words and first; readable from across the room.

import { bar, card, facts, make, mark } from "/dom.js";
import { bytes, count, has, rate, since, span, t, word } from "/texts.js";

const SYMBOLS = { good: "✓", warn: "!", bad: "✕" };

export function open(root, { meter }) {
  const banner = make("section", { class: "banner", role: "status" });
  const problems = make("ul", { class: "findings" });
  const cards = make("div", { class: "columns" });
  root.append(banner, problems, cards);
  return {
    update(overview) {
      showBanner(banner, overview);
      problems.replaceChildren(...overview.findings.map((finding) => showFinding(finding, overview.now)));
      cards.replaceChildren(...showCards(overview, meter));
    },
    lost() {
      fillBanner(banner, "bad", t("state.lost"), t("contact.lost"));
    },
  };
}

function showBanner(banner, { findings, status }) {
  const errors = findings.filter((finding) => finding.severity === "error").length;
  if (!findings.length) {
    const ok = status.connections.filter((each) => each.state === "connected").length;
    const detail = t("state.well.detail", { ok: count(ok), total: count(status.connections.length) });
    return fillBanner(banner, "good", t("state.well"), detail);
  }
  const text = findings.length === 1 ? t("state.one") : t("state.many", { count: count(findings.length) });
  return errors ? fillBanner(banner, "bad", text, "") : fillBanner(banner, "warn", t("state.warning"), text);
}

function fillBanner(banner, state, title, detail) {
  if (banner.dataset.said === title + detail) return;
  banner.dataset.said = title + detail;
  banner.dataset.tone = state;
  banner.replaceChildren(
    make("span", { class: "symbol", "aria-hidden": "true" }, SYMBOLS[state]),
    make("div", {}, make("p", { class: "state" }, title), make("p", {}, detail)),
  );
}

function sentence({ code, facts: found, subject, text }) {
  if (!has(`finding.${code}`)) return `${subject}: ${text}`;
  const known = { ...found, state: found.state ? word(found.state) : "", samples: found.samples ? count(found.samples) : "" };
  return t(`finding.${code}`, known);
}

function showFinding(finding, now) {
  const why = has(`finding.${finding.code}`) ? finding.facts.why : "";
  return make(
    "li",
    { "data-tone": finding.severity === "error" ? "bad" : "warn" },
    make("span", { class: "symbol", "aria-hidden": "true" }, finding.severity === "error" ? SYMBOLS.bad : SYMBOLS.warn),
    make(
      "div",
      {},
      make("strong", {}, sentence(finding)),
      finding.since ? make("span", { class: "soft" }, t("since", { span: since(finding.since, now) })) : null,
      why ? make("p", { class: "why" }, why) : null,
    ),
  );
}

const percent = (share) => (share == null ? "–" : `${share.toFixed(share < 10 ? 1 : 0)} %`);

function showCards({ status, now }, meter) {
  const { host, clock, buffer } = status;
  const sync = clock.sync == null ? t("unknown") : t(clock.sync ? "yes" : "no");
  return [
    card(
      t("device"),
      facts([
        [t("version"), status.version],
        [t("uptime"), span(status.uptime_seconds)],
        [t("clock"), sync, clock.sync === false ? "bad" : null],
        clock.offset_ms == null ? null : [t("clock.offset"), t("unit.ms", { count: Math.round(clock.offset_ms) })],
        [t("cpu"), percent(host.process_cpu_percent)],
        [t("cpu.machine"), percent(host.cpu_percent)],
        [t("memory"), bytes(host.process_memory_bytes)],
        [t("disk"), t("of", { part: bytes(host.disk_free_bytes), whole: bytes(host.disk_total_bytes) })],
      ]),
    ),
    card(
      t("data"),
      facts([
        [t("rate.read"), rate(meter.readAll())],
        [t("rate.stored"), rate(meter.stored())],
        punctuality(status.lateness),
        [t("lost"), count(status.lost_samples), status.lost_samples ? "bad" : null],
        [t("buffer.backlog"), bytes(buffer.pending_bytes)],
        [t("buffer.size"), t("of", { part: bytes(buffer.size_bytes), whole: bytes(buffer.quota_bytes) })],
      ]),
      bar(buffer.quota_bytes ? buffer.size_bytes / buffer.quota_bytes : 0, "good", t("buffer.size")),
    ),
    card(t("targets"), status.sinks.length ? status.sinks.map((sink) => showSink(sink, now)) : make("p", { class: "soft" }, t("catchup.alone")), showParts(status.components)),
    status.hooks ? showHooks(status.hooks) : null,
  ].filter(Boolean);
}

// A hook that is off is no target that somebody switched off: it is ill.
const hookTone = (state) => (state === "off" ? "broken" : state);

function showHooks({ hooks, layers }) {
  const lines = hooks.map((hook) =>
    make(
      "div",
      { class: "line" },
      mark(hookTone(hook.state), `${hook.name}: ${word(hook.state)}`),
      make("span", { class: "soft" }, hookFigures(hook)),
      hook.error ? make("p", { class: "why" }, hook.line == null ? hook.error : t("hooks.line", { line: hook.line, why: hook.error })) : null,
    ),
  );
  const names = Object.keys(layers);
  const missing = names.filter((name) => layers[name] !== "on");
  const well = names.filter((name) => layers[name] === "on").join(", ");
  return card(
    t("hooks"),
    lines,
    names.length ? make("p", { class: "soft" }, t("hooks.sandbox", { layers: well || "–" })) : null,
    missing.map((name) => make("p", { class: "why" }, t("hooks.without", { layer: name, why: layers[name] }))),
  );
}

function hookFigures(hook) {
  const parts = [hook.hook_type, t("hooks.calls", { count: count(hook.calls) })];
  if (hook.failures) parts.push(t("hooks.failures", { count: count(hook.failures) }));
  if (hook.p50_ms != null) parts.push(t("unit.ms", { count: hook.p50_ms.toFixed(hook.p50_ms < 10 ? 1 : 0) }));
  return parts.join(" · ");
}

// The least bound that 99 % of the polls kept.
function punctuality(lateness) {
  const total = lateness?.counts.reduce((sum, each) => sum + each, 0);
  if (!total) return null;
  let sum = 0;
  const place = lateness.counts.findIndex((each) => (sum += each) >= total * 0.99);
  const bound = lateness.bounds_ms[Math.min(place, lateness.bounds_ms.length - 1)];
  const share = lateness.counts.slice(0, place + 1).reduce((all, each) => all + each, 0) / total;
  return [t("lateness", { bound: span(bound / 1000) }), percent(Math.floor(share * 1000) / 10)];
}

function showSink(sink, now) {
  const line = [mark(sink.state, `${sink.name}: ${word(sink.state)}`)];
  if (sink.last_success) line.push(make("span", { class: "soft" }, t("last_success", { ago: t("ago", { span: since(sink.last_success, now) }) })));
  if (sink.detail) line.push(make("p", { class: "why" }, sink.detail));
  return make("div", { class: "line" }, line);
}

function showParts(parts) {
  const ill = parts.filter((part) => part.state !== "running" || part.error);
  const restarted = parts.reduce((sum, part) => sum + part.restarts, 0);
  const well = [t("parts.well", { count: count(parts.length - ill.length) }), restarted ? t("restarts", { count: count(restarted) }) : ""];
  return make(
    "div",
    { class: "line" },
    make("p", { class: "soft" }, well.filter(Boolean).join(" · ")),
    ill.map((part) => make("p", {}, mark(part.state, `${part.name}: ${word(part.state)}`), part.error ? make("span", { class: "why" }, ` ${part.error}`) : null)),
  );
}
