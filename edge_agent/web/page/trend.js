// The trend of one tag: asks for the stored samples piece by piece, the newest first, and draws as they come.

import { Chart } from "/chart.js";
import { make, write } from "/dom.js";
import { t, value } from "/texts.js";

const SPANS = [300, 1800, 7200, 28800, 86400];
const BUCKETS = 600;
const REFRESH_MS = 2000;
// Between two pieces the agent does something else.
const PAUSE_MS = 50;
const KEY = "holdfast-span";

export function openTrend(root, item, { ask, now }, closed) {
  let span = Number(sessionStorage.getItem(KEY)) || SPANS[0];
  let work = new AbortController();
  const note = make("p", { class: "soft", role: "status" });
  const chart = new Chart(item);
  const spans = make("div", { class: "choice", role: "group", "aria-label": t("trend.span") });

  async function load() {
    work.abort();
    work = new AbortController();
    const { signal } = work;
    const bucket = Math.max(100, Math.ceil((span * 1000) / BUCKETS));
    let series = null;
    write(note, t("trend.reading"));
    while (!signal.aborted) {
      if (document.hidden) {
        await pause(REFRESH_MS, signal);
        continue;
      }
      const time = now();
      const first = Math.floor((time - span * 1000) / bucket);
      const from = series?.points.length ? series.points.at(-1).at : first;
      try {
        const fresh = await read(from, Math.floor(time / bucket) + 1, bucket, signal, series ? null : (part) => draw(part, first, bucket));
        if (signal.aborted) return;
        series = series ? renew(series, fresh, from, first) : fresh;
        draw(series, first, bucket);
        write(note, series.points.length ? summary(series) : t("trend.none"));
      } catch (error) {
        if (signal.aborted) return;
        write(note, error.status === 404 ? error.message : t("contact.lost"));
        if (error.status === 404) return;
      }
      await pause(Math.max(REFRESH_MS, bucket), signal);
    }
  }

  // All pieces of a span of buckets [from, to).
  async function read(from, to, bucket, signal, shown) {
    let series = null;
    let before = null;
    do {
      const query = { connection: item.connection, group: item.group, tag: item.tag, start: from * bucket, end: to * bucket, bucket_ms: bucket };
      const piece = await ask(`/api/trend?${new URLSearchParams(before == null ? query : { ...query, before })}`);
      series = join(asSeries(piece, from), series);
      before = piece.next;
      if (before != null && !signal.aborted) {
        shown?.(series);
        await pause(PAUSE_MS, signal);
      }
    } while (before != null && !signal.aborted);
    return series;
  }

  const draw = (series, first, bucket) => chart.show(series, first, Math.floor(now() / bucket) + 1, bucket);

  function showSpans() {
    spans.replaceChildren(
      ...SPANS.map((each) =>
        make("button", { type: "button", "aria-pressed": String(each === span), onclick: () => pick(each) }, t(`span.${each}`)),
      ),
    );
  }

  function pick(each) {
    span = each;
    sessionStorage.setItem(KEY, String(each));
    showSpans();
    spans.querySelector("[aria-pressed=true]").focus();
    load();
  }

  function close() {
    work.abort();
    chart.close();
    root.hidden = true;
    root.replaceChildren();
    closed();
  }

  showSpans();
  root.hidden = false;
  root.replaceChildren(
    make(
      "div",
      { class: "bar" },
      make("h2", {}, `${item.tag} `, make("span", { class: "soft" }, `${item.connection} · ${item.group}${item.unit ? ` · ${item.unit}` : ""}`)),
      make("span", { class: "grow" }),
      make("button", { type: "button", onclick: close }, t("trend.close")),
    ),
    spans,
    chart.element,
    note,
    make("p", { class: "soft hint" }, t("trend.hint")),
  );
  root.scrollIntoView({ block: "nearest" });
  load();
  return { close };
}

const pause = (milliseconds, signal) =>
  new Promise((done) => {
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), done()), { once: true });
  });

// --- pieces ------------------------------------------------------------------------------------------------

function asSeries(piece, from) {
  const points = piece.points.map(([bucket, first, low, high, last, good, bad, joined]) => ({ at: from + bucket, first, low, high, last, good, bad, joined }));
  return { points, head: piece.head, tail: piece.tail, begins: piece.begins, ends: piece.ends };
}

// An older series and a newer one as one. A line goes on where no frame is missing and both sides are good.
export function join(older, newer) {
  if (!newer || !newer.head) return older.head ? older : (newer ?? older);
  if (!older.head) return newer;
  const adjacent = older.tail[0] === newer.head[0] && older.tail[1] + 1 === newer.head[1];
  const points = [...older.points];
  const next = newer.points.map((point) => ({ ...point }));
  const first = next.find((point) => point.good);
  if (first && newer.begins && older.ends && adjacent) first.joined = true;
  if (next.length && points.at(-1)?.at === next[0].at) points.push(merge(points.pop(), next.shift()));
  return {
    points: [...points, ...next],
    head: older.head,
    tail: newer.tail,
    begins: older.begins ?? (adjacent ? newer.begins : false),
    ends: newer.ends ?? (adjacent ? older.ends : false),
  };
}

function merge(a, b) {
  if (!a.good || !b.good) return { ...(a.good ? a : b), good: a.good + b.good, bad: a.bad + b.bad };
  return {
    at: a.at, first: a.first, low: Math.min(a.low, b.low), high: Math.max(a.high, b.high), last: b.last,
    good: a.good + b.good, bad: a.bad + b.bad, joined: a.joined,
  };
}

// What was read again from the bucket `from` on replaces what was known of it; what is too old goes.
function renew(known, fresh, from, first) {
  const kept = known.points.filter((point) => point.at < from && point.at >= first);
  const next = fresh.points.map((point) => ({ ...point }));
  const again = known.points.find((point) => point.at === from);
  if (next[0]?.at === from && again) next[0].joined = again.joined;
  return { ...fresh, points: [...kept, ...next], head: known.head, begins: known.begins, ends: fresh.ends ?? known.ends };
}

function summary({ points }) {
  const good = points.filter((point) => point.good);
  if (!good.length) return t("trend.bad");
  const low = Math.min(...good.map((point) => point.low));
  const high = Math.max(...good.map((point) => point.high));
  return t("trend.summary", { low: value(low), high: value(high), last: value(good.at(-1).last) });
}
