// Every text of the page in both languages (texts.json), and numbers, times and spans as each writes them.

const KEY = "holdfast-language";
const LANGUAGES = ["en", "ko"];
const table = await (await fetch("/texts.json")).json();

let language = chosen();

function chosen() {
  const kept = localStorage.getItem(KEY);
  if (LANGUAGES.includes(kept)) return kept;
  const wanted = navigator.languages.map((each) => each.slice(0, 2)).find((each) => LANGUAGES.includes(each));
  return wanted ?? "en";
}

export const current = () => language;

export function switchLanguage() {
  language = LANGUAGES[1 - LANGUAGES.indexOf(language)];
  localStorage.setItem(KEY, language);
}

export const has = (key) => key in table;

export function t(key, facts = {}) {
  const text = table[key]?.[LANGUAGES.indexOf(language)] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => facts[name] ?? whole);
}

// A state or quality of the agent in words; one that this page does not know yet stays as it is.
export const word = (name) => (has(`word.${name}`) ? t(`word.${name}`) : name.replaceAll("_", " "));

export const count = (number) => (number ?? 0).toLocaleString(language);

export function bytes(number) {
  if (number == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let place = 0;
  for (; Math.abs(number) >= 1024 && place < units.length - 1; place += 1) number /= 1024;
  const digits = place && Math.abs(number) < 10 ? 1 : 0;
  return `${number.toLocaleString(language, { maximumFractionDigits: digits })} ${units[place]}`;
}

export function span(seconds) {
  if (seconds == null) return "–";
  if (seconds < 1) return t("unit.ms", { count: Math.round(seconds * 1000) });
  if (seconds < 120) return t("unit.s", { count: Math.round(seconds) });
  if (seconds < 7200) return t("unit.min", { count: Math.round(seconds / 60) });
  if (seconds < 172800) return t("unit.h", { count: Math.round(seconds / 3600) });
  return t("unit.d", { count: Math.round(seconds / 86400) });
}

export const since = (time, now) => (time ? span(Math.max(0, (now - time) / 1000)) : "–");

export function rate(perSecond, written = count) {
  if (perSecond == null) return "–";
  return t("per_second", { count: written(perSecond < 10 ? Math.round(perSecond * 10) / 10 : Math.round(perSecond)) });
}

// The shortest number that is the same float32; a float64 keeps its digits, but for what arithmetic left in
// the last of them (3 × 0.1).
function shortest(number) {
  if (Number(number.toPrecision(9)) === number) return number;
  if (Math.fround(number) === number) {
    for (let digits = 1; digits < 9; digits += 1) {
      const short = Number(number.toPrecision(digits));
      if (Math.fround(short) === number) return short;
    }
    return number;
  }
  const round = Number(number.toPrecision(12));
  return Math.abs(round - number) <= Math.abs(number) * Number.EPSILON ? round : number;
}

// A value as it is, without the digits that a float has only by accident.
export function value(item) {
  if (item == null) return "–";
  if (typeof item === "number") {
    const clean = Number.isInteger(item) ? item : shortest(item);
    if (clean && (Math.abs(clean) < 1e-4 || Math.abs(clean) >= 1e21)) return clean.toExponential();
    return clean.toLocaleString(language, { maximumSignificantDigits: 17, useGrouping: false });
  }
  return typeof item === "object" ? JSON.stringify(item) : String(item);
}

export const clock = (time, options = {}) =>
  new Date(time).toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...options });

export const moment = (time) =>
  `${new Date(time).toLocaleDateString(language, { month: "2-digit", day: "2-digit" })} ${clock(time, { second: "2-digit" })}`;
