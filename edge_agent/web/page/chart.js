// Draws a series: the span from lowest to highest of each bucket, a line through them, gaps, and two axes.

import { draw, make, write } from "/dom.js";
import { clock, moment, t, value } from "/texts.js";

const HEIGHT = 260;
const LEFT = 64;
const EDGE = { top: 12, right: 14, bottom: 30 };
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600].map((each) => each * 1000);
const PIXELS_A_TIME = 90;
const PIXELS_A_VALUE = 48;

export class Chart {
  constructor(item) {
    this.item = item;
    this.svg = draw("svg", { class: "chart", height: HEIGHT, tabindex: 0, role: "img" });
    this.readout = make("p", { class: "readout", "aria-live": "polite" }, " ");
    this.element = make("div", {}, this.svg, this.readout);
    this.data = null;
    this.cursor = null;
    this.watcher = new ResizeObserver(() => this.data && this.paint());
    this.watcher.observe(this.svg);
    this.svg.addEventListener("pointerdown", (event) => this.point(event));
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("keydown", (event) => this.step(event));
  }

  close() {
    this.watcher.disconnect();
  }

  show(series, first, last, bucket) {
    const points = series.points.filter((point) => point.at >= first && point.at < last);
    this.data = { points, first, last, bucket, held: series.ends };
    this.paint();
  }

  // --- geometry ---------------------------------------------------------------------------------------------

  layout() {
    const width = Math.max(280, this.svg.clientWidth || 600);
    const good = this.data.points.filter((point) => point.good);
    let low = Math.min(...good.map((point) => point.low));
    let high = Math.max(...good.map((point) => point.high));
    if (!good.length) [low, high] = [0, 1];
    if (low === high) [low, high] = [low - (Math.abs(low) || 1) * 0.05, high + (Math.abs(high) || 1) * 0.05];
    const margin = (high - low) * 0.06;
    [low, high] = [low - margin, high + margin];
    const { first, last } = this.data;
    const inner = width - LEFT - EDGE.right;
    const depth = HEIGHT - EDGE.top - EDGE.bottom;
    return {
      width, low, high, inner, depth,
      x: (at) => LEFT + ((at - first) / (last - first)) * inner,
      y: (number) => EDGE.top + (1 - (number - low) / (high - low)) * depth,
    };
  }

  paint() {
    const place = this.layout();
    this.place = place;
    this.svg.setAttribute("viewBox", `0 0 ${place.width} ${HEIGHT}`);
    this.svg.setAttribute("aria-label", t("trend.open", { tag: this.item.tag }));
    this.svg.replaceChildren(...this.values(place), ...this.times(place), ...this.faults(place), ...this.lines(place));
    this.mark = draw("line", { class: "cursor", y1: EDGE.top, y2: EDGE.top + place.depth, visibility: "hidden" });
    this.svg.append(this.mark);
    if (this.cursor != null) this.tell();
  }

  values({ low, high, depth, width, y }) {
    const step = nice((high - low) / Math.max(2, depth / PIXELS_A_VALUE));
    const result = [];
    for (let number = Math.ceil(low / step) * step; number <= high; number += step) {
      const clean = Number(number.toPrecision(12));
      result.push(draw("line", { class: "grid", x1: LEFT, x2: width - EDGE.right, y1: y(clean), y2: y(clean) }));
      result.push(draw("text", { x: LEFT - 8, y: y(clean) + 5, "text-anchor": "end" }, value(clean)));
    }
    if (this.item.unit) result.push(draw("text", { class: "axis", x: 4, y: EDGE.top + 2 }, this.item.unit));
    return result;
  }

  times({ inner, x }) {
    const { first, last, bucket } = this.data;
    const span = (last - first) * bucket;
    const step = TIME_STEPS.find((each) => span / each <= inner / PIXELS_A_TIME) ?? TIME_STEPS.at(-1);
    const seconds = step < 60000 ? { second: "2-digit" } : {};
    const shift = new Date().getTimezoneOffset() * 60000;
    const result = [];
    for (let time = Math.ceil((first * bucket - shift) / step) * step + shift; time <= last * bucket; time += step) {
      const at = x(time / bucket);
      if (at < LEFT) continue;
      result.push(draw("line", { class: "grid", x1: at, x2: at, y1: EDGE.top, y2: HEIGHT - EDGE.bottom }));
      if (at < LEFT + inner - 20) result.push(draw("text", { x: at, y: HEIGHT - 8, "text-anchor": "middle" }, clock(time, seconds)));
    }
    return result;
  }

  // From a bad sample to the next good one.
  faults({ x, depth }) {
    const { points, last, held } = this.data;
    const result = [];
    points.forEach((point, place) => {
      const next = points[place + 1];
      const broken = next ? !next.good || !next.joined : !held;
      if (!point.bad || (point.good && !broken)) return;
      const from = x(point.at);
      const to = x(next ? next.at : last);
      result.push(draw("rect", { class: "fault", x: from, y: EDGE.top, width: Math.max(2, to - from), height: depth }));
    });
    return result;
  }

  lines({ x, y }) {
    const { points, last, held } = this.data;
    let line = "";
    let band = "";
    let before = null;
    const middle = (point) => x(point.at + 0.5);
    for (const point of points) {
      if (!point.good) continue;
      const at = middle(point);
      if (point.joined && before) line += point.at - before.at > 1 ? `H${at}V${y(point.first)}` : `L${at} ${y(point.first)}`;
      else line += `M${at} ${y(point.first)}h.01`;
      if (point.high > point.low) band += `M${at} ${y(point.low)}V${y(point.high)}`;
      line += `M${at} ${y(point.last)}`;
      before = point;
    }
    // What was not read anew is held until now.
    if (held && before && last - before.at > 1) line += `H${x(last)}`;
    return [draw("path", { class: "band", d: band }), draw("path", { class: "line", d: line })];
  }

  // --- reading values -----------------------------------------------------------------------------------------

  point(event) {
    if (!this.data?.points.length) return;
    const box = this.svg.getBoundingClientRect();
    const { first, last } = this.data;
    const share = (((event.clientX - box.left) / box.width) * this.place.width - LEFT) / this.place.inner;
    this.cursor = first + share * (last - first);
    this.tell();
  }

  step(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const points = this.data?.points ?? [];
    if (!move || !points.length) return;
    event.preventDefault();
    const now = this.cursor == null ? points.length : points.indexOf(this.nearest());
    this.cursor = points[Math.max(0, Math.min(points.length - 1, now + move))].at + 0.5;
    this.tell();
  }

  nearest() {
    const distance = (point) => Math.abs(point.at + 0.5 - this.cursor);
    return this.data.points.reduce((best, point) => (distance(point) < distance(best) ? point : best));
  }

  tell() {
    if (!this.data.points.length) return;
    const point = this.nearest();
    const at = this.place.x(point.at + 0.5);
    for (const [name, to] of Object.entries({ x1: at, x2: at, visibility: "visible" })) this.mark.setAttribute(name, to);
    const span = point.low === point.high ? value(point.last) : `${value(point.low)} … ${value(point.high)}`;
    const shown = point.good ? `${span}${this.item.unit ? ` ${this.item.unit}` : ""}` : "";
    write(this.readout, [moment(point.at * this.data.bucket), shown, point.bad ? t("trend.bad") : ""].filter(Boolean).join("  ·  "));
  }
}

function nice(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].find((each) => each * power >= rough) * power;
}
