// Asks where a statement would go, and shows the answer.
import { el, icon, swatch, why } from "./format.js";

const form = document.getElementById("explain");
const sql = document.getElementById("explain-sql");
const level = document.getElementById("explain-level");
const answer = document.getElementById("explain-answer");
let asked = 0;

async function ask() {
  const mine = ++asked;
  let shown;
  try {
    const response = await fetch(`${document.body.dataset.files}/explain`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ sql: sql.value, level: level.value }),
    });
    const text = await response.text();
    shown = response.ok ? explained(JSON.parse(text)) : [el("p", "trouble", text)];
  } catch {
    shown = [el("p", "trouble", "There is no connection.")];
  }
  // Whoever asked twice wants the last answer.
  if (mine === asked) answer.replaceChildren(...shown);
}

function explained({ class: kind, operation, why: because, level: asked, requires, reason, error, waits_seconds: waits, candidates, nodes }) {
  const badge = el("span", "kind", kind);
  badge.dataset.kind = kind;
  const head = el("p", "verdict", badge, " ", reason ? why(reason) : error);
  head.dataset.state = reason ? "ok" : "bad";
  const facts = el("ul", "facts");
  const fact = (text) => facts.append(el("li", "", text));
  if (operation) fact(`${operation}: ${because}`);
  if (kind === "read") fact(`must see: ${requires}${asked ? ` (${asked})` : ""}`);
  if (waits) fact(`waits up to ${Math.round(waits * 1e3)} ms for a replica to catch up, before it goes elsewhere`);
  if (candidates.length > 1) fact(`one of ${candidates.join(", ")}`);
  const list = el("ul", "verdicts");
  for (const { node, role, refused } of nodes) {
    const serves = candidates.includes(node);
    const word = refused ?? (serves ? "serves" : "may serve");
    const item = el("li", "", icon(refused ? "unknown" : "ok"), el("span", "who", swatch(node), " ", el("small", "", role)), el("span", "text", word));
    item.dataset.node = node;
    item.dataset.state = refused ? "unknown" : "ok";
    list.append(item);
  }
  return [head, facts, list];
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
sql.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask();
});
level.addEventListener("change", () => answer.childElementCount && ask());
