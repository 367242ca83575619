// The newest lines of the agent's log, from its memory.

import { make, mark, write } from "/dom.js";
import { moment, t, word } from "/texts.js";

const LEVELS = ["debug", "info", "warning", "error"];
const LOOK_MS = 2000;
const MOST = 500;
const KEY = "holdfast-level";
const HEAD = ["id", "time", "level", "logger", "event", "exception"];

export const glance = true;

export function open(root, { ask }) {
  let level = sessionStorage.getItem(KEY) ?? "info";
  let after = 0;
  let timer = 0;
  let paused = false;
  let closed = false;
  const list = make("ol", { class: "log" });
  const none = make("p", { class: "soft" });
  const select = make("select", { id: "level" }, LEVELS.map((each) => make("option", { value: each, selected: each === level }, word(each))));
  const hold = make("button", { type: "button", "aria-pressed": "false" }, t("log.pause"));

  async function look() {
    clearTimeout(timer);
    const asked = level;
    try {
      const { lines, next } = await ask(`/api/log?level=${asked}&after=${after}&limit=200`);
      if (closed || asked !== level) return;
      // The agent counts from one again when it was started again.
      if (next < after) list.replaceChildren();
      after = next;
      list.prepend(...lines.reverse().map(line));
      while (list.children.length > MOST) list.lastChild.remove();
      write(none, list.children.length ? "" : t("log.none"));
    } catch {
      // The head says that the agent does not answer.
    }
    clearTimeout(timer);
    if (!closed && !paused && !document.hidden) timer = setTimeout(look, LOOK_MS);
  }

  select.addEventListener("change", () => {
    level = select.value;
    sessionStorage.setItem(KEY, level);
    after = 0;
    list.replaceChildren();
    look();
  });
  hold.addEventListener("click", () => {
    paused = !paused;
    hold.setAttribute("aria-pressed", String(paused));
    write(hold, t(paused ? "log.resume" : "log.pause"));
    if (!paused) look();
  });
  root.append(
    make("div", { class: "bar" }, make("label", {}, t("log.level"), " ", select), make("span", { class: "grow" }), hold),
    make("section", { class: "card flush" }, list),
    none,
  );
  look();
  return {
    resume: look,
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

function line(entry) {
  const rest = Object.entries(entry)
    .filter(([name]) => !HEAD.includes(name))
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join("  ");
  return make(
    "li",
    {},
    make("div", { class: "when" }, make("time", { datetime: entry.time }, moment(Date.parse(entry.time))), mark(entry.level, word(entry.level))),
    make("div", {}, make("strong", {}, entry.event), rest ? make("p", { class: "soft" }, rest) : null, entry.exception ? make("pre", {}, entry.exception) : null),
  );
}
