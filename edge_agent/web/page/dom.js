// Small tools for making elements. Whatever comes from outside becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

export const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
export const draw = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// Changes a text only where it differs: a selection survives, and a screen reader is not disturbed.
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const TONES = {
  good: ["connected", "answering", "ok", "good", "running", "applied", "local"],
  warn: ["connecting", "starting", "probing", "uncertain", "stale", "late", "waiting", "warning", "unreachable", "applied_with_warnings"],
  bad: ["down", "broken", "silent", "refusing", "refused", "blocked", "stalled", "error", "critical", "rejected", "rolled_back"],
};

// good, warn, bad or idle: the colour of a state or quality.
export function tone(state) {
  if (state.startsWith("bad")) return "bad";
  return Object.keys(TONES).find((name) => TONES[name].includes(state)) ?? "idle";
}

export function mark(state, text) {
  const dot = make("span", { class: "dot", "data-tone": tone(state), "aria-hidden": "true" });
  return make("span", { class: "mark", "data-tone": tone(state) }, dot, " ", text);
}

export function facts(entries) {
  const rows = entries.filter(Boolean).map(([name, value, alarm]) =>
    make("div", {}, make("dt", {}, name), make("dd", alarm ? { "data-tone": alarm } : {}, value)),
  );
  return make("dl", { class: "facts" }, rows);
}

export const card = (title, ...children) => make("section", { class: "card" }, make("h2", {}, title), children);

// A bar of `share` (0 to 1) with a text beside it for those who do not see it.
export function bar(share, state, label) {
  const width = Math.max(0, Math.min(1, share)) * 100;
  return draw(
    "svg",
    { class: "gauge", viewBox: "0 0 100 6", preserveAspectRatio: "none", role: "img", "aria-label": label },
    draw("rect", { class: "track", width: 100, height: 6, rx: 1 }),
    draw("rect", { "data-tone": state, width: width.toFixed(2), height: 6, rx: 1 }),
  );
}
