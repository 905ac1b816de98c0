// The nodes, and what flows between them.
import { bytes, count, el, icon, millis, put, rate, seconds, set, svg } from "./format.js";

// A replica is called behind when it lacks something and its data is this old, in seconds.
const BEHIND = 1.5;

// What a node is, as a state with an icon and a word, and whether anything flows to it.
export function standing(node) {
  if (node.role === "primary") {
    return node.healthy ? { state: "ok", word: "Takes writes" } : { state: "bad", word: "Does not answer" };
  }
  if (!node.healthy) {
    const state = node.state === "unhealthy" ? "bad" : node.state === "unknown" ? "unknown" : "warn";
    const word = { bad: "Out", unknown: "Not seen yet", warn: "Gets no reads" }[state];
    return { state, word: node.reason && state !== "unknown" ? `${word}: ${node.reason}` : word };
  }
  if (isBehind(node)) return { state: "warn", word: `Behind by ${bytes(node.lag_bytes)}` };
  if (node.state === "degraded") return { state: "warn", word: "Serves less: it failed lately" };
  return { state: "ok", word: "Serves reads" };
}

export function isBehind(node) {
  return node.role !== "primary" && node.lag_bytes > 0 && (node.lag_seconds == null || node.lag_seconds > BEHIND);
}

const FIGURES = {
  primary: ["reads", "writes", "pool", "flight", "response", "position"],
  replica: ["reads", "age", "lag", "pool", "flight", "response"],
};

const LABELS = {
  reads: "Reads",
  writes: "Writes",
  age: "Age of data",
  lag: "Lag",
  pool: "Pool",
  flight: "In flight",
  response: "Response",
  position: "Position",
};

export class Topology {
  constructor(root) {
    this.root = root;
    this.first = root.querySelector(".first");
    this.others = root.querySelector(".others");
    this.links = root.querySelector(".links");
    this.cards = new Map();
    new ResizeObserver(() => this.lay()).observe(root);
  }

  show(frame, rates) {
    const present = new Set();
    frame.nodes.forEach((node) => {
      const key = `${node.role} ${node.name}`;
      present.add(key);
      const card = this.cards.get(key) ?? this.add(key, node);
      this.fill(card, node, rates.get(node.name));
    });
    for (const [key, card] of this.cards) {
      if (!present.has(key)) {
        card.place.remove();
        card.link?.remove();
        this.cards.delete(key);
      }
    }
    const none = frame.nodes.every((node) => node.role !== "primary");
    if (none && !this.none) this.first.append((this.none = el("p", "empty")));
    if (!none) this.none = this.none?.remove();
    if (none) put(this.none, `No primary: ${frame.cluster.no_primary ?? "nobody takes writes"}`);
    const shape = [...this.cards.keys()].join();
    if (shape !== this.shape) this.lay();
    this.shape = shape;
  }

  add(key, node) {
    const figures = new Map();
    const list = el("dl");
    for (const name of FIGURES[node.role]) {
      const value = el("dd");
      const unit = el("small");
      const text = document.createTextNode("");
      value.append(text, unit);
      if (name === "pool") {
        const meter = el("span", "meter", el("i"));
        value.append(meter);
        figures.set("meter", meter.firstChild);
      }
      list.append(el("div", "", el("dt", "", LABELS[name]), value));
      figures.set(name, { text, unit, value });
    }
    const image = icon("unknown");
    const word = el("p", "word");
    const name = el("p", "name", el("span", "", node.name), el("span", "role", node.role));
    const box = el("article", "node", el("div", "who", image, name, word), list);
    box.dataset.node = node.name;
    let place = box;
    let link = null;
    if (node.role === "primary") {
      this.first.append(box);
    } else {
      place = el("li", "", box);
      this.others.append(place);
      link = svg("g");
      link.append(svg("path"), svg("path", { class: "flow" }));
      this.links.append(link);
    }
    const card = { box, place, link, image, word, figures };
    this.cards.set(key, card);
    return card;
  }

  fill(card, node, rates) {
    const { state, word } = standing(node);
    set(card.box, "data-state", state);
    set(card.image.firstChild, "href", `#i-${state}`);
    put(card.word, word);
    if (card.link) {
      set(card.link, "data-state", state);
      card.link.toggleAttribute("data-stopped", document.body.dataset.link !== "live");
    }
    const write = (name, text, unit = "") => {
      const figure = card.figures.get(name);
      if (!figure) return;
      if (figure.text.data !== text) figure.text.data = text;
      put(figure.unit, unit);
    };
    write("reads", rate(rates?.reads), "/s");
    write("writes", rate(rates?.writes), "/s");
    write("age", node.lag_seconds == null ? "unknown" : `≤ ${seconds(node.lag_seconds)}`);
    write("lag", node.lag_bytes == null ? "unknown" : bytes(node.lag_bytes));
    write("flight", count(node.in_flight));
    write("response", millis(node.response_time_ms));
    write("position", node.position ?? "unknown");
    if (node.pool) {
      write("pool", `${count(node.pool.active)} / ${count(node.pool.max)}`, `${count(node.pool.idle)} idle`);
      card.figures.get("meter").style.width = `${Math.round(node.pool.utilisation * 100)}%`;
    } else {
      write("pool", "–");
    }
  }

  // Lines from the primary to each replica: curves beside each other, or a rail where all stand in one column.
  lay() {
    const frame = this.root.getBoundingClientRect();
    if (!frame.width) return;
    set(this.links, "viewBox", `0 0 ${frame.width} ${frame.height}`);
    const from = this.first.getBoundingClientRect();
    let above = from.bottom - frame.top;
    for (const { box, link } of this.cards.values()) {
      if (!link) continue;
      const to = box.getBoundingClientRect();
      const end = { x: to.left - frame.left, y: to.top - frame.top + to.height / 2 };
      let path;
      if (end.x > from.right - frame.left) {
        const start = { x: from.right - frame.left, y: from.top - frame.top + from.height / 2 };
        const bend = (end.x - start.x) * 0.55;
        path = `M${start.x} ${start.y}C${start.x + bend} ${start.y} ${end.x - bend} ${end.y} ${end.x} ${end.y}`;
      } else {
        const rail = end.x / 2;
        path = `M${rail} ${above}V${end.y - 8}Q${rail} ${end.y} ${rail + 8} ${end.y}H${end.x}`;
        above = end.y - 8;
      }
      for (const line of link.children) set(line, "d", path);
    }
  }
}
