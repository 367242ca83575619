// The centre's page. Reads lists once, then follows the live stream; whatever comes from outside is put
// into the page as text, never as markup. Who is signed in is session.js's business.

import { Refused, ask, forgetToken, get, hasToken, keepToken, logIn, signOut, takeToken, whoAmI } from "/session.js";

const MAX_ROWS = 500;
const TREND_POINTS = 60;
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);
const state = { devices: new Map(), chosen: null, values: new Map(), rows: new Map(), stream: null, detail: null };

const devicePath = (rest = "") => `/api/fleet/devices/${encodeURIComponent(state.chosen)}${rest}`;

async function follow(signal) {
  // Values of the chosen device alone; the other events of all.
  const query = state.chosen ? `?values=${encodeURIComponent(state.chosen)}` : "";
  const response = await ask(`/api/fleet/events${query}`, { signal });
  showLink("online", "live");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    parts.forEach(dispatch);
  }
}

function dispatch(block) {
  const fields = {};
  for (const line of block.split("\n")) {
    const at = line.indexOf(": ");
    if (at > 0) fields[line.slice(0, at)] = line.slice(at + 2);
  }
  if (!fields.event) return;
  const data = JSON.parse(fields.data);
  if (fields.event === "values") takeValues(data);
  else if (fields.event === "stats") {
    showTotals(data);
    showDevices();
    refresh();
  } else {
    const before = state.devices.get(data.device_id)?.state;
    state.devices.set(data.device_id, data);
    showDevices();
    if (data.device_id === state.chosen) {
      if (before !== data.state) arrangeRows();
      refresh();
    }
  }
}

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// One loop for each choice of device: lists, then the stream, and again when it ends.
async function live() {
  state.stream?.abort();
  const control = new AbortController();
  state.stream = control;
  let wait = 1000;
  while (!control.signal.aborted) {
    try {
      await readLists();
      wait = 1000;
      await follow(control.signal);
    } catch (error) {
      if (control.signal.aborted) return;
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) {
        signIn(error.message);
        return;
      }
    }
    if (control.signal.aborted) return;
    showLink("offline", "no contact with the centre, trying again");
    await pause(wait);
    wait = Math.min(wait * 2, 15000);
  }
}

async function readLists() {
  let cursor = "";
  const found = [];
  do {
    const page = await get(`/api/fleet/devices?limit=1000${cursor}`);
    found.push(...page.items);
    cursor = page.next ? `&cursor=${encodeURIComponent(page.next)}` : "";
  } while (cursor);
  state.devices = new Map(found.map((device) => [device.device_id, device]));
  showDevices();
  showTotals(await get("/api/fleet/stats"));
  if (!state.chosen && found.length) state.chosen = found[0].device_id;
  if (state.chosen) await readDevice(true);
}

// What fails here is read again with the next event.
const refresh = () => state.chosen && readDevice(false).catch(() => {});

async function readDevice(withValues) {
  const chosen = state.chosen;
  const [detail, stats, events] = await Promise.all([
    get(devicePath()),
    get(`/api/fleet/data/stats?device=${encodeURIComponent(chosen)}`),
    get(devicePath("/events?limit=12")),
  ]);
  if (chosen !== state.chosen) return;
  state.detail = detail;
  showDevice(detail, stats.devices[0], events.items);
  if (withValues) takeValues({ device_id: chosen, items: (await get(devicePath("/latest-values?limit=5000"))).items });
}

// --- small tools -----------------------------------------------------------------------------------------

function make(tag, text = "", attributes = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function facts(target, entries) {
  target.replaceChildren(
    ...entries.filter(Boolean).map(([name, value, alarm]) => {
      const box = make("div");
      box.append(make("dt", name), make("dd", value ?? "–", alarm ? { class: "alarm" } : {}));
      return box;
    }),
  );
}

const count = (number) => (number ?? 0).toLocaleString();
const percent = (number) => (number == null ? null : `${number.toFixed(0)} %`);
const clock = (time) => new Date(time).toLocaleTimeString();

function bytes(number) {
  if (number == null) return null;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let place = 0;
  for (; number >= 1024 && place < units.length - 1; place += 1) number /= 1024;
  return `${number.toFixed(number < 10 && place ? 1 : 0)} ${units[place]}`;
}

function duration(seconds) {
  if (seconds == null) return null;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}

const since = (time) => (time == null ? null : duration(Math.max(0, (Date.now() - time) / 1000)));

function mark(name) {
  const element = make("span");
  element.append(make("span", "", { class: "dot", "data-state": name, "aria-hidden": "true" }), ` ${name.replace("_", " ")}`);
  element.dataset.state = name;
  return element;
}

// --- showing ---------------------------------------------------------------------------------------------

function showLink(name, text) {
  byId("link-dot").dataset.state = name;
  if (byId("link").textContent !== text) byId("link").textContent = text;
}

function showTotals(stats) {
  facts(byId("totals"), [
    ["devices", count(stats.devices.total)],
    ["online", count(stats.devices.online + stats.devices.degraded)],
    ["batches", count(stats.batches)],
    ["samples", count(stats.samples)],
    ["duplicates", count(stats.duplicates), stats.duplicates > 0],
  ]);
}

function showDevices() {
  byId("no-devices").hidden = state.devices.size > 0;
  const focused = document.activeElement?.dataset.device;
  const items = [...state.devices.values()].map((device) => {
    const button = make("button", "", { type: "button", "aria-pressed": String(device.device_id === state.chosen), "data-device": device.device_id });
    const line = make("span", "", { class: "line" });
    line.append(mark(device.state), `  ${device.connections_ok}/${device.connections_total} connections`);
    const more = `${device.version ?? "no contact yet"}${device.last_seen ? `, heard ${since(device.last_seen)} ago` : ""}`;
    button.append(make("span", device.device_id, { class: "name" }), line, make("span", more, { class: "line" }));
    button.addEventListener("click", () => choose(device.device_id));
    const item = make("li");
    item.append(button);
    return item;
  });
  byId("devices").replaceChildren(...items);
  if (focused) byId("devices").querySelector(`[data-device="${focused}"]`)?.focus();
}

function showDevice(device, stats, events) {
  byId("device").hidden = false;
  const title = byId("device-title");
  title.replaceChildren(`${device.device_id} `, mark(device.state));
  byId("problems").replaceChildren(...device.problems.map((text) => make("li", text)));
  const { host, buffer, config } = device;
  facts(byId("health"), [
    ["Version", device.version],
    ["CPU", percent(host.cpu_percent)],
    ["Memory", host.memory_bytes == null ? null : `${bytes(host.memory_bytes)} of ${bytes(host.memory_total_bytes)}`],
    ["Disk free", host.disk_free_bytes == null ? null : `${bytes(host.disk_free_bytes)} of ${bytes(host.disk_total_bytes)}`],
    ["Uptime", duration(device.uptime_seconds)],
    ["Last heartbeat", device.last_seen ? `${since(device.last_seen)} ago` : null],
    ["Clock offset", device.clock_offset_ms == null ? null : `${device.clock_offset_ms} ms`, device.clock?.sync === false],
    ["Config", config.desired_version == null ? "local" : `wants ${config.desired_version}, ${config.reported?.state ?? "unknown"}`, config.reported?.state === "rejected"],
    config.reported?.message ? ["", config.reported.message, true] : null,
  ]);
  facts(byId("buffer"), [
    ["Pending batches", count(buffer.pending_batches)],
    ["Pending bytes", bytes(buffer.pending_bytes)],
    ["Oldest pending", buffer.oldest_pending == null ? "none" : since(buffer.oldest_pending)],
    ["Size", `${bytes(buffer.size_bytes)} of ${bytes(buffer.quota_bytes)}`],
  ]);
  const lost = Object.entries(stats.lost_samples).map(([reason, samples]) => `${count(samples)} ${reason}`).join(", ");
  facts(byId("account"), [
    ["Batches", count(stats.batches)],
    ["Samples", count(stats.samples)],
    ["Pending", count(stats.pending)],
    ["Gaps", count(stats.gaps.reduce((sum, gap) => sum + gap.to - gap.from + 1, 0)), stats.gaps.length > 0],
    ["Duplicates", count(stats.duplicates), stats.duplicates > 0],
    ["Redelivered", count(stats.redelivered)],
    ["Lost samples", lost || "0", lost !== ""],
  ]);
  byId("connections").replaceChildren(...device.connections.map(connectionRow));
  byId("events").replaceChildren(
    ...events.map((event) => {
      const item = make("li");
      item.append(make("time", new Date(event.time).toLocaleString(), { datetime: new Date(event.time).toISOString() }), event.message);
      return item;
    }),
  );
}

function connectionRow(connection) {
  const row = make("tr");
  const units = connection.units.map((unit) => `${unit.unit_id ?? "–"} ${unit.state}`).join(", ");
  const errors = [connection.error, ...connection.units.map((unit) => unit.error)].filter(Boolean).join("; ");
  const shown = make("td");
  // What was connected when an agent was heard last need not be so now.
  shown.append(mark(state.devices.get(state.chosen)?.state === "offline" ? "unknown" : connection.state));
  row.append(
    make("th", connection.name, { scope: "row" }), make("td", connection.driver), make("td", connection.address), shown,
    make("td", units), make("td", connection.latency_ms == null ? "–" : `${connection.latency_ms.toFixed(1)} ms`, { class: "number" }),
    make("td", count(connection.overruns), { class: "number" }), make("td", count(connection.samples), { class: "number" }),
    make("td", errors, { class: "wrap" }),
  );
  return row;
}

// --- values ------------------------------------------------------------------------------------------------

function takeValues({ device_id: device, items }) {
  if (device !== state.chosen) return;
  for (const item of items) {
    const key = JSON.stringify([item.connection, item.group, item.tag]);
    const known = state.values.get(key);
    const trend = known?.trend ?? [];
    const number = typeof item.value === "boolean" ? Number(item.value) : item.value;
    if (typeof number === "number") trend.push(number);
    if (trend.length > TREND_POINTS) trend.shift();
    state.values.set(key, { ...item, trend });
    const row = state.rows.get(key);
    if (row) fillRow(row, state.values.get(key));
    else state.stale = true;
  }
  if (state.stale) arrangeRows();
}

function arrangeRows() {
  state.stale = false;
  const wanted = byId("filter").value.trim().toLowerCase();
  const matching = [...state.values].filter(
    ([, item]) => !wanted || `${item.connection}.${item.tag} ${item.group}`.toLowerCase().includes(wanted),
  );
  matching.sort(([, a], [, b]) => a.connection.localeCompare(b.connection) || a.tag.localeCompare(b.tag, undefined, { numeric: true }));
  const shown = matching.slice(0, MAX_ROWS);
  state.rows = new Map(shown.map(([key, item]) => [key, fillRow(state.rows.get(key) ?? valueRow(), item)]));
  byId("values").replaceChildren(...[...state.rows.values()].map((row) => row.element));
  byId("values-note").textContent =
    matching.length > MAX_ROWS ? `${MAX_ROWS} of ${count(matching.length)} tags are shown: filter for others.` : `${count(matching.length)} tags`;
}

function valueRow() {
  const element = make("tr");
  const cells = {
    tag: make("th", "", { scope: "row" }), connection: make("td"), group: make("td"), value: make("td", "", { class: "number" }),
    unit: make("td"), quality: make("td"), time: make("td"), trend: make("td"),
  };
  const svg = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "polyline");
  svg.setAttribute("class", "trend");
  svg.setAttribute("viewBox", "0 0 100 20");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.append(line);
  cells.trend.append(svg);
  element.append(...Object.values(cells));
  return { element, cells, line };
}

function written(value) {
  if (value == null) return "–";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(7)));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function fillRow(row, item) {
  const { cells } = row;
  // Nobody renews the values of a device that is away: what was good when it came is not good now.
  const isOld = state.devices.get(state.chosen)?.state === "offline";
  const quality = isOld ? "stale" : item.quality;
  const texts = { tag: item.tag, connection: item.connection, group: item.group, value: written(item.value), unit: item.unit, quality, time: clock(item.time) };
  for (const [name, text] of Object.entries(texts)) if (cells[name].textContent !== text) cells[name].textContent = text;
  cells.quality.dataset.quality = quality;
  row.element.className = isOld ? "old" : "";
  row.line.setAttribute("points", points(item.trend));
  return row;
}

function points(trend) {
  if (trend.length < 2) return "";
  const low = Math.min(...trend);
  const span = Math.max(...trend) - low || 1;
  const flat = Math.max(...trend) === low;
  return trend.map((value, at) => `${((at * 100) / (trend.length - 1)).toFixed(1)},${flat ? 10 : (19 - ((value - low) / span) * 18).toFixed(1)}`).join(" ");
}

// --- start ---------------------------------------------------------------------------------------------------

function choose(device) {
  state.chosen = device;
  state.values.clear();
  state.rows.clear();
  arrangeRows();
  showDevices();
  live();
}

// Whoever signs in next may see other devices, or none of these.
function forgetFleet() {
  state.chosen = null;
  state.detail = null;
  for (const known of [state.devices, state.values, state.rows]) known.clear();
  for (const shown of ["totals", "devices", "values"]) byId(shown).replaceChildren();
  byId("device").hidden = true;
}

function signIn(message = "") {
  forgetToken();
  state.stream?.abort();
  forgetFleet();
  byId("main").hidden = true;
  byId("sign-out").hidden = true;
  byId("sign-in").hidden = false;
  byId("sign-in-error").textContent = message;
  byId("who").textContent = "";
  showLink("never_seen", "not signed in");
  byId("login").focus();
}

async function open() {
  const me = await whoAmI().catch(() => undefined);
  if (me === null) return signIn(hasToken() ? "The token is unknown, expired or revoked." : "");
  byId("sign-in").hidden = true;
  byId("main").hidden = false;
  byId("sign-out").hidden = false;
  byId("who").textContent = me ? `${me.name || me.role}, ${me.role}` : "";
  return live();
}

byId("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const password = byId("password").value;
  byId("password").value = "";
  try {
    forgetToken();
    await logIn(byId("login").value.trim(), password);
    byId("sign-in-error").textContent = "";
    await open();
  } catch (error) {
    byId("sign-in-error").textContent = error.message;
    byId("password").focus();
  }
});
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(byId("token").value.trim());
  byId("token").value = "";
  open();
});
byId("sign-out").addEventListener("click", async () => {
  await signOut();
  signIn();
});
byId("filter").addEventListener("input", arrangeRows);
addEventListener("hashchange", () => takeToken() && open());
takeToken();
open();
