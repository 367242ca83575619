// The page's frame: tabs, language, and one look at the agent a second while somebody watches.
// A view exports `open(root, context)`, which returns what it wants to be told of: update(overview), lost(),
// resume() when the tab is in front again, close().

import * as buffer from "/buffer.js";
import * as config from "/config.js";
import * as connections from "/connections.js";
import { make, write } from "/dom.js";
import * as health from "/health.js";
import * as log from "/log.js";
import { Meter } from "/meter.js";
import { current, switchLanguage, t } from "/texts.js";
import * as values from "/values.js";

const VIEWS = { health, connections, values, buffer, config, log };
const LOOK_MS = 1000;
// A tab that shows something else needs the state in the head alone.
const GLANCE_MS = 5000;
const TIMEOUT_MS = 8000;

const byId = (id) => document.getElementById(id);
const meter = new Meter();
let view = { name: "", shown: {} };
let overview = null;
// Milliseconds that the agent's clock is ahead of the browser's. Ages and trends are by the agent's.
let ahead = 0;
let timer = 0;
// What is replaced between a finger's going down and up would miss the tap.
const PRESS_MS = 700;
let pressedAt = -PRESS_MS;

const now = () => Date.now() + ahead;

async function ask(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw Object.assign(new Error(problem.detail || `${response.status}`), { status: response.status });
}

async function look() {
  clearTimeout(timer);
  try {
    overview = await ask("/api/overview");
    ahead = overview.now - Date.now();
    meter.add(overview.status);
    showContact(true);
    if (performance.now() - pressedAt > PRESS_MS) view.shown.update?.(overview);
  } catch {
    showContact(false);
    view.shown.lost?.();
  }
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(look, VIEWS[view.name].glance ? GLANCE_MS : LOOK_MS);
}

function showContact(answers) {
  byId("contact-dot").dataset.tone = answers ? "good" : "bad";
  write(byId("contact"), t(answers ? "contact.live" : "contact.lost"));
  const badge = document.querySelector("#tabs .badge");
  const found = overview?.findings.length ?? 0;
  badge.hidden = !found;
  write(badge, String(found));
  if (overview) {
    write(byId("device"), overview.status.device);
    document.title = `${found ? `(${found}) ` : ""}${overview.status.device} · Holdfast`;
  }
}

function open() {
  const [name, query] = location.hash.slice(2).split("?");
  const wanted = name in VIEWS ? name : "health";
  view.shown.close?.();
  const root = byId("view");
  root.replaceChildren();
  root.dataset.view = wanted;
  view = { name: wanted, shown: {} };
  showTabs();
  view.shown = VIEWS[wanted].open(root, { ask, meter, now, query: new URLSearchParams(query) }) ?? {};
  if (overview) view.shown.update?.(overview);
  look();
}

function showTabs() {
  const links = Object.keys(VIEWS).map((name) =>
    make(
      "a",
      { href: `#/${name}`, "aria-current": name === view.name ? "page" : null },
      t(`tab.${name}`),
      name === "health" ? make("span", { class: "badge", hidden: true }) : null,
    ),
  );
  byId("tabs").replaceChildren(...links);
  byId("tabs").setAttribute("aria-label", t("tabs"));
}

function speak() {
  document.documentElement.lang = current();
  write(byId("language"), t("language.other"));
  byId("language").lang = current() === "en" ? "ko" : "en";
  write(document.querySelector(".skip"), t("skip"));
  if (!overview) write(byId("contact"), t("contact.starting"));
}

byId("language").addEventListener("click", () => {
  switchLanguage();
  speak();
  open();
});
addEventListener("hashchange", open);
document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (document.hidden) return;
  view.shown.resume?.();
  look();
});
addEventListener("pointerdown", () => (pressedAt = performance.now()), true);
addEventListener("click", () => (pressedAt = -PRESS_MS));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("view").focus();
});
speak();
open();
