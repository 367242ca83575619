// Connections and their units, ill ones first.

import { facts, make, mark, tone } from "/dom.js";
import { count, rate, since, t, word } from "/texts.js";

const ORDER = ["bad", "warn", "idle", "good"];

export function open(root, { meter }) {
  const list = make("div", { class: "connections" });
  root.append(list);
  return {
    update({ status, now }) {
      const sorted = [...status.connections].sort((a, b) => rank(a) - rank(b));
      // Replaced as a whole: a link that has the focus keeps it by its address.
      const focused = document.activeElement?.getAttribute("href");
      list.replaceChildren(...sorted.map((each) => show(each, meter, now)));
      if (!sorted.length) list.append(make("p", { class: "card soft" }, t("no_connections")));
      if (focused) list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    },
  };
}

const units = ({ state, units: all }) => (state === "connected" ? all.map((unit) => unit.state) : []);
const quiet = ({ groups }) => groups.filter(({ state }) => ["late", "stale", "silent"].includes(state));
const worst = (connection) =>
  [connection.state, ...units(connection), ...quiet(connection).map(({ state }) => state)].map(tone);
const rank = (connection) => Math.min(...worst(connection).map((each) => ORDER.indexOf(each)));

function show(connection, meter, now) {
  const latency = connection.latency_ms;
  return make(
    "section",
    { class: "card connection", "data-tone": ORDER[rank(connection)] },
    make(
      "div",
      { class: "bar" },
      make("h2", {}, connection.name),
      mark(connection.state, word(connection.state)),
      make("span", { class: "soft" }, connection.since ? t("since", { span: since(connection.since, now) }) : ""),
      make("a", { class: "button", href: `#/values?connection=${encodeURIComponent(connection.name)}` }, t("show_values")),
    ),
    make("p", { class: "soft" }, [connection.driver, connection.address].filter(Boolean).join(" · ")),
    connection.error ? make("p", { class: "why", "data-tone": "bad" }, connection.error) : null,
    facts([
      [t("rate"), rate(meter.read(connection.name))],
      [t("latency"), latency == null ? "–" : t("unit.ms", { count: latency.toFixed(latency < 10 ? 1 : 0) })],
      [t("overruns"), count(connection.overruns), connection.overruns ? "warn" : null],
      [t("samples"), count(connection.samples)],
    ]),
    make(
      "ul",
      { class: "units", "aria-label": t("units") },
      connection.units.map((unit) => showUnit(unit, connection.state)),
      quiet(connection).map((group) => showGroup(group, now)),
    ),
  );
}

// Groups that bring nothing, whatever their unit says.
function showGroup(group, now) {
  const last = group.last_data == null ? t("no_data") : t("last_data", { ago: t("ago", { span: since(group.last_data, now) }) });
  return make("li", {}, mark(group.state, `${t("group.one", { name: group.name })}: ${word(group.state)}`), make("span", { class: "soft" }, last));
}

// Without a link nobody knows how its units are.
function showUnit(unit, link) {
  const name = unit.unit_id == null ? t("unit.only") : t("unit.one", { id: unit.unit_id });
  const state = link === "connected" ? unit.state : "unknown";
  // As the station says itself, if it does.
  const product = [unit.vendor, unit.product, unit.revision].filter(Boolean).join(" ");
  return make(
    "li",
    {},
    mark(state, `${name}: ${word(state)}`),
    product ? make("span", {}, product) : null,
    make("span", { class: "soft" }, t("cycles", { good: count(unit.good_cycles), bad: count(unit.bad_cycles) })),
    unit.error ? make("p", { class: "why" }, unit.error) : null,
  );
}
