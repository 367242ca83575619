// The config in force, secrets masked, and what became of the centre's last one.

import { card, facts, make } from "/dom.js";
import { t, word } from "/texts.js";

export const glance = true;

export function open(root, { ask }) {
  const source = make("div");
  const text = make("pre", { class: "config", tabindex: 0, "aria-label": t("config.text") });
  root.append(
    source,
    make(
      "section",
      { class: "card" },
      make("div", { class: "bar" }, make("h2", {}, t("config.text")), make("span", { class: "soft grow" }, t("config.masked")), make("a", { class: "button", href: "/api/config.yaml", download: "" }, t("config.download"))),
      text,
    ),
  );
  let shown = "";
  return {
    // Asked for again only when another document runs.
    async update({ status }) {
      const name = JSON.stringify(status.config);
      if (name === shown) return;
      shown = name;
      try {
        const answer = await ask("/api/config");
        source.replaceChildren(sourceCard(answer));
        text.textContent = answer.text;
      } catch {
        shown = "";
      }
    },
  };
}

function sourceCard({ report, path }) {
  const version = report.applied_version;
  const bad = ["rejected", "rolled_back"].includes(report.state);
  const last = report.seen_version == null ? null : t("config.version", { version: report.seen_version, state: word(report.state) });
  return card(
    t("config.source"),
    make("p", {}, version == null ? t("config.source.local", { path }) : t("config.source.centre", { version, path })),
    last ? facts([[t("config.last"), last, bad ? "bad" : null]]) : null,
    report.message ? make("p", { class: "why", "data-tone": bad ? "bad" : "warn" }, report.message) : null,
  );
}
