// Numbers and words as people read them, and small helpers for elements.

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function rate(value) {
  if (value == null || !Number.isFinite(value)) return "–";
  if (value > 0 && value < 9.95) return value.toFixed(1);
  if (value < 100_000) return grouped.format(value);
  return value < 1e6 ? `${(value / 1e3).toFixed(0)}k` : `${(value / 1e6).toFixed(2)}M`;
}

export function count(value) {
  return grouped.format(value);
}

export function bytes(value) {
  if (value == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function seconds(value) {
  if (value == null) return "–";
  if (value < 0.9995) return `${Math.round(value * 1e3)} ms`;
  if (value < 99.95) return `${value.toFixed(1)} s`;
  const whole = Math.round(value);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

export function millis(value) {
  if (value == null) return "–";
  return value < 10 ? `${value.toFixed(2)} ms` : seconds(value / 1e3);
}

const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export function time(date) {
  return clock.format(date);
}

const REASONS = {
  write: "writes",
  session_state: "needs its connection",
  primary_required: "its level asks for the primary",
  primary_preferred: "the primary is preferred",
  replica: "a replica has what it must see",
  group: "a replica of its group",
  nearest: "the nearest node",
  caught_up: "waited until a replica caught up",
  no_replicas: "there are no replicas",
  replicas_down: "no replica is in the rotation",
  replicas_behind: "no replica has what it must see yet",
  stale: "replicas are behind, stale is allowed",
};

export function why(reason) {
  return REASONS[reason] ?? reason.replaceAll("_", " ");
}

const WORDS = {
  waited: "waited",
  caught_up: "caught up",
  gave_up: "gave up",
  spared: "spared the wait",
  stale: "answered stale",
  refused: "refused",
  lost_write: "lost write",
};

// In the order in which they happen.
export const STEPS = Object.keys(WORDS);

export function step(name) {
  return WORDS[name];
}

// An element with a class, attributes and children; text is never taken for HTML.
export function el(tag, name, ...children) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...children);
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

export function icon(state) {
  const made = svg("svg", { class: "icon", "aria-hidden": "true" });
  made.append(svg("use", { href: `#i-${state}` }));
  return made;
}

// Writes only what differs, so that screen readers and selections are left in peace.
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function set(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

// Each node has a colour and a line style of its own, for as long as the page is open.
const styles = new Map();
export const DASHES = [[], [7, 4], [2, 4], [9, 3, 2, 3], [5, 2], [1, 3], [12, 4], [4, 2, 1, 2]];

export function style(name) {
  if (!styles.has(name)) styles.set(name, styles.size % DASHES.length);
  return styles.get(name);
}

export function swatch(name) {
  const made = el("span", "swatch", name);
  made.style.setProperty("--series", `var(--n${style(name)})`);
  return made;
}
