// Lines over the last minute that move on by themselves, drawn on a canvas.
import { DASHES, el, put, set, style, svg } from "./format.js";

const WINDOW = 60_000;
// A line is drawn a little late, so that its newest piece comes in from the edge and does not jump.
const DELAY = 400;
// Longer than this between two frames is a gap.
const GAP = 2_000;
const PAD = { top: 14, right: 10, bottom: 22, left: 8 };

const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Chart {
  // `format` makes text of a value; `steps` is the ladder of round numbers for the axis; the axis never ends below `floor`.
  constructor(figure, { format, floor, base = 10, say }) {
    this.format = format;
    this.floor = floor;
    this.base = base;
    this.say = say;
    this.series = new Map();
    this.top = floor;
    this.offset = null;
    this.cursor = null;
    this.title = figure.querySelector("h2").textContent;

    this.plot = el("div", "plot");
    this.canvas = el("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.when = el("p", "when");
    this.when.hidden = true;
    this.plot.append(this.canvas, this.when);
    this.legend = el("div", "legend");
    this.legend.setAttribute("role", "group");
    this.legend.setAttribute("aria-label", `Lines of ${this.title}`);
    figure.append(this.plot, this.legend);
    this.context = this.canvas.getContext("2d");

    new ResizeObserver(() => this.fit()).observe(this.plot);
    this.inSight = true;
    new IntersectionObserver(([entry]) => {
      this.inSight = entry.isIntersecting;
    }).observe(this.plot);
    this.canvas.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.canvas.addEventListener("pointerleave", () => this.leave());
    this.canvas.addEventListener("blur", () => this.leave());
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("rr:theme", () => this.recolour());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour());
    this.recolour();
  }

  // Takes in the values of one moment; `null` is unknown, and a gap.
  push(at, values) {
    const here = performance.now();
    // The two clocks run alike; how far they are apart is smoothed, since frames arrive unevenly.
    const offset = here - at;
    this.offset = this.offset == null || Math.abs(offset - this.offset) > 1_000 ? offset : this.offset + (offset - this.offset) * 0.05;
    for (const [name, value] of values) {
      const points = (this.series.get(name) ?? this.add(name)).points;
      if (points.length && points.at(-1).at >= at) points.length = 0;
      points.push({ at, value });
      while (points.length > 2 && points[1].at < at - WINDOW - DELAY) points.shift();
    }
    for (const [name, one] of this.series) {
      const last = one.points.at(-1);
      if (!values.has(name) && last && last.at < at - WINDOW - DELAY) this.remove(name);
    }
    if (this.cursor == null) this.read(null);
    if (still.matches) this.draw();
  }

  add(name) {
    const index = style(name);
    const line = svg("svg", { viewBox: "0 0 22 8", "aria-hidden": "true" });
    line.append(svg("line", { x1: 1, y1: 4, x2: 21, y2: 4, "stroke-dasharray": DASHES[index].join(" ") }));
    const button = el("button", "", line, el("span", "", name), el("b"));
    button.type = "button";
    button.style.setProperty("--series", `var(--n${index})`);
    button.setAttribute("aria-pressed", "true");
    const one = { index, button, points: [], shown: true };
    button.addEventListener("click", () => {
      one.shown = !one.shown;
      set(button, "aria-pressed", String(one.shown));
      if (still.matches) this.draw();
    });
    this.legend.append(button);
    this.series.set(name, one);
    return one;
  }

  remove(name) {
    this.series.get(name).button.remove();
    this.series.delete(name);
  }

  fit() {
    const { width, height } = this.plot.getBoundingClientRect();
    const scale = Math.min(devicePixelRatio || 1, 3);
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    this.context.setTransform(scale, 0, 0, scale, 0, 0);
    Object.assign(this, { width, height });
    this.draw();
  }

  recolour() {
    // A canvas knows no variables: a probe element tells what they are at present.
    const probe = el("i");
    document.body.append(probe);
    const colour = (name) => {
      probe.style.color = `var(--${name})`;
      return getComputedStyle(probe).color;
    };
    this.colours = { grid: colour("line"), text: colour("muted"), edge: colour("edge"), surface: colour("surface") };
    this.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    this.lines = DASHES.map((_, index) => colour(`n${index}`));
    probe.remove();
    this.draw();
  }

  get now() {
    return performance.now() - (this.offset ?? 0) - DELAY;
  }

  // A round number at or above `value`, and how many parts the axis has.
  ceiling(value) {
    if (value <= this.floor) return this.floor;
    const unit = this.base ** Math.floor(Math.log(value) / Math.log(this.base));
    const ladder = this.base === 10 ? [1, 2, 4, 5, 6, 8, 10] : [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
    return unit * ladder.find((rung) => unit * rung >= value);
  }

  draw() {
    const { context: pen, width, height } = this;
    if (!width || !height) return;
    const now = this.now;
    const left = PAD.left;
    const right = width - PAD.right;
    const bottom = height - PAD.bottom;
    let most = 0;
    for (const { points, shown } of this.series.values()) {
      if (shown) for (const { at, value } of points) if (value > most && at > now - WINDOW) most = value;
    }
    const goal = this.ceiling(most * 1.08);
    this.top = still.matches || !this.lastDraw ? goal : this.top + (goal - this.top) * 0.25;
    this.lastDraw = now;
    const x = (at) => right - ((now - at) / WINDOW) * (right - left);
    const y = (value) => bottom - (value / this.top) * (bottom - PAD.top);

    pen.clearRect(0, 0, width, height);
    pen.font = this.font;
    pen.lineWidth = 1;
    pen.setLineDash([]);
    pen.strokeStyle = this.colours.grid;
    const parts = [0, 0.25, 0.5, 0.75, 1];
    for (const part of parts) {
      const level = Math.round(y(this.top * part)) + 0.5;
      pen.beginPath();
      pen.moveTo(left, level);
      pen.lineTo(right, level);
      pen.stroke();
    }
    this.lineUp(pen, x, y, { left, right, bottom });

    pen.fillStyle = this.colours.text;
    pen.textBaseline = "bottom";
    pen.textAlign = "left";
    for (const part of [0.5, 1]) {
      const text = this.format(goal * part).replace(".0 ", " ");
      const level = Math.max(y(goal * part), PAD.top);
      const wide = pen.measureText(text).width;
      pen.globalAlpha = 0.82;
      pen.fillStyle = this.colours.surface;
      pen.fillRect(left, level - 15, wide + 6, 14);
      pen.globalAlpha = 1;
      pen.fillStyle = this.colours.text;
      pen.fillText(text, left + 2, level - 1);
    }
    pen.textBaseline = "alphabetic";
    const ticks = width > 300 ? [60, 45, 30, 15, 0] : [60, 30, 0];
    for (const ago of ticks) {
      pen.textAlign = ago === 60 ? "left" : ago === 0 ? "right" : "center";
      pen.fillText(ago === 0 ? "now" : `−${ago} s`, right - (ago / 60) * (right - left), height - 5);
    }
    if (this.cursor != null) {
      const at = right - (this.cursor / WINDOW) * (right - left);
      pen.strokeStyle = this.colours.edge;
      pen.beginPath();
      pen.moveTo(at, PAD.top);
      pen.lineTo(at, bottom);
      pen.stroke();
    }
  }

  lineUp(pen, x, y, { left, right, bottom }) {
    pen.save();
    pen.beginPath();
    pen.rect(left, 0, right - left + 5, bottom + 2);
    pen.clip();
    pen.lineJoin = "round";
    for (const { index, points, shown } of this.series.values()) {
      if (!shown) continue;
      for (const piece of pieces(points)) {
        const path = new Path2D();
        piece.forEach(({ at, value }, nth) => (nth ? path.lineTo(x(at), y(value)) : path.moveTo(x(at), y(value))));
        pen.strokeStyle = this.lines[index];
        pen.lineWidth = 2;
        pen.setLineDash(DASHES[index]);
        // The pattern moves with the line and does not crawl along it.
        pen.lineDashOffset = (piece[0].at / WINDOW) * (right - left);
        pen.stroke(path);
        path.lineTo(x(piece.at(-1).at), bottom);
        path.lineTo(x(piece[0].at), bottom);
        pen.globalAlpha = 0.07;
        pen.fillStyle = this.lines[index];
        pen.fill(path);
        pen.globalAlpha = 1;
      }
    }
    pen.restore();
  }

  // The cursor: what the legend reads is what was then.
  point(at) {
    const right = this.width - PAD.right;
    const share = (right - at) / (right - PAD.left);
    this.read(Math.min(Math.max(share, 0), 1) * WINDOW);
  }

  leave() {
    this.read(null);
  }

  key(event) {
    const move = { ArrowLeft: 2_000, ArrowRight: -2_000, Home: WINDOW, End: -WINDOW }[event.key];
    if (event.key === "Escape") this.leave();
    if (move == null) return;
    event.preventDefault();
    this.read(Math.min(Math.max((this.cursor ?? 0) + move, 0), WINDOW - 1));
    const values = [...this.series].map(([name, one]) => `${name} ${one.button.lastChild.textContent}`);
    this.say(`${this.title}, ${this.when.textContent}: ${values.join(", ")}`);
  }

  read(cursor) {
    this.cursor = cursor;
    this.when.hidden = cursor == null;
    if (cursor != null) put(this.when, `${Math.round(cursor / 1e3)} s ago`);
    for (const { points, button } of this.series.values()) {
      const point = cursor == null ? points.at(-1) : nearest(points, this.now - cursor);
      put(button.lastChild, this.format(point?.value ?? null));
    }
    if (cursor == null) {
      const values = [...this.series].map(([name, one]) => `${name} ${one.button.lastChild.textContent}`);
      if (!this.told || performance.now() - this.told > 5_000) {
        this.told = performance.now();
        set(this.canvas, "aria-label", `${this.title} over the last minute; now ${values.join(", ")}. Arrow keys read earlier values.`);
      }
    }
    if (still.matches) this.draw();
  }
}

// What is connected: no unknown value, no gap.
function* pieces(points) {
  let piece = [];
  for (const point of points) {
    if (point.value == null || (piece.length && point.at - piece.at(-1).at > GAP)) {
      if (piece.length > 1) yield piece;
      piece = [];
    }
    if (point.value != null) piece.push(point);
  }
  if (piece.length > 1) yield piece;
}

function nearest(points, at) {
  let best = null;
  for (const point of points) {
    if (Math.abs(point.at - at) <= Math.min(GAP, Math.abs((best?.at ?? Infinity) - at))) best = point;
  }
  return best;
}

// Draws the charts that are in sight, thirty times a second: more is not seen on lines that move this slowly.
export function animate(charts) {
  let drawn = 0;
  const next = (now) => {
    if (!still.matches && now - drawn > 30) {
      drawn = now;
      charts.forEach((chart) => chart.inSight && chart.draw());
    }
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
}
