// Newest values: the server searches and pages, this asks for what it shows. A tapped tag opens its trend.

import { make, mark, write } from "/dom.js";
import { count, since, t, value, word } from "/texts.js";
import { openTrend } from "/trend.js";

const LIMIT = 100;
const LOOK_MS = 1000;
const TYPING_MS = 250;

// The head needs the overview now and then only.
export const glance = true;

// Survives a look at another view, and the switch of the language.
let kept = { connection: "", q: "" };

export function open(root, { ask, now, query }) {
  if (query.has("connection")) kept = { connection: query.get("connection"), q: "" };
  const wanted = { ...kept, offset: 0 };
  const parts = build(root);
  const rows = new Map();
  let timer = 0;
  let closed = false;
  let trend = null;
  let known = "";

  async function look() {
    clearTimeout(timer);
    const asked = new URLSearchParams({ ...wanted, limit: LIMIT }).toString();
    try {
      const page = await ask(`/api/values?${asked}`);
      if (!closed && asked === new URLSearchParams({ ...wanted, limit: LIMIT }).toString()) show(page);
    } catch {
      // The head says that the agent does not answer; the next look comes anyway.
    }
    clearTimeout(timer);
    if (!closed && !document.hidden) timer = setTimeout(look, LOOK_MS);
  }

  function show({ total, items }) {
    const keys = items.map((item) => JSON.stringify([item.connection, item.group, item.tag]));
    if (keys.join() !== known) {
      known = keys.join();
      rows.clear();
      items.forEach((item, place) => rows.set(keys[place], row(item, choose)));
      parts.body.replaceChildren(...arrange(items, [...rows.values()]));
      if (wanted.offset >= total && total) return turn(-wanted.offset);
    }
    const time = now();
    items.forEach((item, place) => fill(rows.get(keys[place]), item, time));
    const last = Math.min(wanted.offset + LIMIT, total);
    const text = { from: count(wanted.offset + 1), to: count(last), total: count(total) };
    write(parts.note, total ? t("page.count", text) : t("page.none"));
    parts.back.disabled = wanted.offset === 0;
    parts.on.disabled = last >= total;
    parts.back.hidden = parts.on.hidden = total <= LIMIT;
  }

  function turn(step) {
    wanted.offset = Math.max(0, wanted.offset + step);
    look();
    parts.table.scrollIntoView({ block: "nearest" });
  }

  function choose(item) {
    trend?.close();
    trend = openTrend(parts.trend, item, { ask, now }, () => {
      trend = null;
      known = "";
    });
  }

  parts.search.value = wanted.q;
  parts.search.addEventListener("input", () => {
    kept.q = wanted.q = parts.search.value.trim();
    wanted.offset = 0;
    clearTimeout(timer);
    timer = setTimeout(look, TYPING_MS);
  });
  parts.connections.addEventListener("change", () => {
    kept.connection = wanted.connection = parts.connections.value;
    wanted.offset = 0;
    look();
  });
  parts.back.addEventListener("click", () => turn(-LIMIT));
  parts.on.addEventListener("click", () => turn(LIMIT));
  look();
  return {
    update({ status }) {
      const names = status.connections.map((connection) => connection.name);
      // What hooks compute for itself is a connection of its own.
      if (status.hooks) names.push("hooks");
      if (parts.connections.dataset.names === names.join()) return;
      parts.connections.dataset.names = names.join();
      const options = names.map((name) => make("option", { value: name }, name));
      parts.connections.replaceChildren(make("option", { value: "" }, t("all_connections")), ...options);
      parts.connections.value = wanted.connection;
    },
    resume: look,
    close() {
      closed = true;
      clearTimeout(timer);
      trend?.close();
    },
  };
}

function build(root) {
  const search = make("input", { type: "search", id: "search", autocomplete: "off", spellcheck: "false", placeholder: t("search.hint") });
  const connections = make("select", { "aria-label": t("connection") }, make("option", { value: "" }, t("all_connections")));
  const body = make("tbody");
  const heads = ["tag", "value", "quality", "age"].map((name) =>
    make("th", { scope: "col", class: name === "value" || name === "age" ? "number" : null }, t(name)),
  );
  const table = make("table", { class: "values" }, make("thead", {}, make("tr", {}, heads)), body);
  const note = make("p", { class: "soft", role: "status" });
  const back = make("button", { type: "button", hidden: true }, t("page.back"));
  const on = make("button", { type: "button", hidden: true }, t("page.on"));
  const trend = make("section", { class: "trend", hidden: true });
  root.append(
    make("div", { class: "bar" }, make("label", { class: "grow" }, make("span", { class: "hidden" }, t("search")), search), connections),
    trend,
    make("div", { class: "card flush" }, table),
    make("div", { class: "bar" }, note, make("span", { class: "grow" }), back, on),
  );
  return { search, connections, body, table, note, back, on, trend };
}

// Rows under a line for each connection and group.
function arrange(items, rows) {
  let before = "";
  return items.flatMap((item, place) => {
    const name = `${item.connection} · ${item.group}`;
    if (name === before) return [rows[place].element];
    before = name;
    return [make("tr", { class: "section" }, make("th", { colspan: 4, scope: "colgroup" }, name)), rows[place].element];
  });
}

function row(item, choose) {
  const button = make("button", { type: "button", class: "tag", "aria-label": t("trend.open", { tag: item.tag }) }, item.tag);
  button.addEventListener("click", () => choose(item));
  const cells = { number: make("span", { class: "figure" }), unit: make("span", { class: "unit" }), quality: make("td"), age: make("td", { class: "number soft" }) };
  const shown = make("td", { class: "number" }, cells.number, " ", cells.unit);
  const element = make("tr", {}, make("th", { scope: "row" }, button), shown, cells.quality, cells.age);
  return { element, cells, quality: "" };
}

function fill(target, item, now) {
  const { cells } = target;
  write(cells.number, value(item.value));
  write(cells.unit, item.value == null ? "" : item.unit);
  write(cells.age, item.time ? since(item.time, now) : t("never"));
  if (target.quality === item.quality) return;
  target.quality = item.quality;
  cells.quality.replaceChildren(mark(item.quality, word(item.quality)));
}
