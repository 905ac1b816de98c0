// Where statements go and why, the last of them, and what happened.
import { count, el, icon, put, rate, set, STEPS, step, style, swatch, time, why } from "./format.js";

const LONG = 10_000;
const SHORT = 2_000;
const STATEMENTS = 40;
const EVENTS = 200;

// Rates from totals: what was added since a moment ago.
export class Rates {
  constructor() {
    this.kept = [];
  }

  push(frame) {
    const nodes = new Map(frame.nodes.map((node) => [node.name, node]));
    this.kept.push({ at: frame.at_ms, nodes });
    while (this.kept.length > 2 && this.kept[1].at < frame.at_ms - LONG) this.kept.shift();
  }

  // Per second over the last `span`; `null` as long as there is nothing to compare with.
  over(span, pick) {
    const last = this.kept.at(-1);
    const first = this.kept.find(({ at }) => at >= last.at - span - 50);
    if (!first || first === last) return null;
    const rates = new Map();
    for (const [name, node] of last.nodes) {
      const before = first.nodes.get(name);
      // A node that came since, or came again, has counted from 0.
      const added = pick(node) - (before ? pick(before) : 0);
      rates.set(name, (Math.max(added, 0) * 1e3) / (last.at - first.at));
    }
    return rates;
  }

  recent() {
    const reads = this.over(SHORT, (node) => node.reads);
    const writes = this.over(SHORT, (node) => node.writes);
    return new Map([...this.kept.at(-1).nodes.keys()].map((name) => [name, { reads: reads?.get(name), writes: writes?.get(name) }]));
  }

  // By reason and node over the last ten seconds, the most frequent first.
  reasons() {
    const all = new Set();
    for (const node of this.kept.at(-1).nodes.values()) Object.keys(node.routed).forEach((reason) => all.add(reason));
    const found = [];
    for (const reason of all) {
      const rates = this.over(LONG, (node) => node.routed[reason] ?? 0);
      const nodes = [...(rates ?? [])].filter(([, value]) => value > 0);
      if (nodes.length) found.push({ reason, nodes, total: nodes.reduce((sum, [, value]) => sum + value, 0) });
    }
    return found.sort((one, other) => other.total - one.total);
  }
}

export class Why {
  constructor() {
    this.list = document.getElementById("why");
    this.empty = document.getElementById("why-empty");
    this.causal = document.getElementById("causal");
    this.rows = new Map();
  }

  show(frame, reasons) {
    this.empty.hidden = reasons.length > 0;
    const most = reasons[0]?.total ?? 1;
    const present = new Set(reasons.map(({ reason }) => reason));
    for (const [reason, row] of this.rows) {
      if (!present.has(reason)) {
        row.item.remove();
        this.rows.delete(reason);
      }
    }
    reasons.forEach(({ reason, nodes, total }, nth) => {
      const row = this.rows.get(reason) ?? this.add(reason);
      put(row.total, `${rate(total)}/s`);
      row.bar.style.width = `${Math.max((total / most) * 100, 1)}%`;
      const names = nodes.map(([name]) => name).join();
      if (names !== row.names) {
        row.names = names;
        row.bar.replaceChildren(...nodes.map(([name]) => el("i")));
        row.who.replaceChildren(...nodes.map(([name]) => swatch(name)));
        nodes.forEach(([name], index) => row.bar.children[index].style.setProperty("--series", `var(--n${style(name)})`));
      }
      nodes.forEach(([name, value], index) => {
        row.bar.children[index].style.flexGrow = value;
        put(row.who.children[index], `${name} ${rate(value)}/s`);
      });
      if (this.list.children[nth] !== row.item) this.list.insertBefore(row.item, this.list.children[nth] ?? null);
    });
    const steps = STEPS.map((name) => [name, frame.causal[name]]).filter(([, times]) => times > 0);
    const shape = steps.map(([name]) => name).join();
    if (shape !== this.shape) {
      this.shape = shape;
      this.causal.hidden = steps.length === 0;
      this.causal.replaceChildren(...steps.map(([name]) => el("div", "", el("dt", "", step(name)), el("dd"))));
    }
    steps.forEach(([, times], index) => put(this.causal.children[index].lastChild, count(times)));
  }

  add(reason) {
    const row = { total: el("b"), bar: el("div", "bar"), who: el("p", "who"), names: "" };
    row.item = el("li", "", el("span", "text", why(reason)), row.total, row.bar, row.who);
    row.item.dataset.reason = reason;
    this.rows.set(reason, row);
    return row;
  }
}

// The last statements. Drawn anew once a second at most: what changes faster cannot be read.
export class Last {
  constructor() {
    this.body = document.getElementById("last");
    this.empty = document.getElementById("last-empty");
    this.button = document.getElementById("hold");
    this.kept = [];
    this.drawn = -Infinity;
    this.button.addEventListener("click", () => {
      const held = this.button.getAttribute("aria-pressed") !== "true";
      set(this.button, "aria-pressed", String(held));
      put(this.button, held ? "Go on" : "Hold");
    });
  }

  show(frame, date) {
    this.kept = [...frame.routes.map((route) => ({ ...route, date: date(route.at_ms) })).reverse(), ...this.kept].slice(0, STATEMENTS);
    const now = performance.now();
    if (this.button.getAttribute("aria-pressed") === "true" || now - this.drawn < 950 || !this.kept.length) return;
    this.drawn = now;
    this.empty.hidden = true;
    this.body.replaceChildren(...this.kept.map((route) => this.row(route)));
  }

  row({ date, class: kind, node, reason, level }) {
    const badge = el("span", "kind", kind);
    badge.dataset.kind = kind;
    const cause = el("td", "", why(reason));
    if (level && kind === "read") cause.append(" ", el("small", "", level));
    return el("tr", "", el("td", "", time(date)), el("td", "", badge), el("td", "", swatch(node)), cause);
  }
}

export class Log {
  constructor() {
    this.list = document.getElementById("log");
    this.empty = document.getElementById("log-empty");
    this.sum = document.getElementById("log-sum");
    this.last = 0;
  }

  // `fresh`: this is the beginning of a stream, and what is known already comes again.
  show(frame, date, fresh) {
    const events = frame.events;
    // Numbers that go back are those of another process.
    if (fresh && events.length && events.at(-1).number < this.last) {
      this.list.replaceChildren();
      this.last = 0;
    }
    for (const event of events) {
      if (event.number <= this.last) continue;
      this.last = event.number;
      const when = date(event.at_ms);
      const moment = el("time", "", time(when));
      moment.dateTime = when.toISOString();
      const mark = event.warning ? icon("warn") : el("i", "dot");
      const text = el("span", "text", ...quoted(event.text));
      if (event.warning) text.prepend(el("span", "hidden", "Warning: "));
      const item = el("li", "", mark, text, moment);
      item.dataset.state = event.warning ? "warn" : "unknown";
      item.dataset.kind = event.kind;
      this.list.prepend(item);
    }
    while (this.list.childElementCount > EVENTS) this.list.lastChild.remove();
    this.empty.hidden = this.list.childElementCount > 0;
    put(this.sum, this.list.childElementCount ? `${this.list.childElementCount}, the newest first` : "");
    // What was there before is not read out.
    set(this.list, "aria-live", "polite");
  }
}

// Names between backticks are set off.
function quoted(text) {
  return text.split("`").map((part, index) => (index % 2 ? el("b", "", part) : part));
}
