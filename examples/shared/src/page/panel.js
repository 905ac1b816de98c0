// The laboratory: buttons that do things to servers, and trials that show what an application sees of it.
import { el, icon, put, set, style } from "./format.js";

const $ = (id) => document.getElementById(id);
const here = Number($("lab").dataset.instance);

async function ask(method, path, { json, cookies = true } = {}) {
  const answer = await fetch(path, {
    method,
    credentials: cookies ? "same-origin" : "omit",
    headers: json === undefined ? {} : { "content-type": "application/json" },
    body: json === undefined ? undefined : JSON.stringify(json),
  });
  const text = await answer.text();
  const body = text ? JSON.parse(text) : null;
  if (!answer.ok) throw new Error(body?.error ?? `${answer.status}`);
  return body;
}

function trouble(error) {
  $("lab-trouble").hidden = !error;
  if (error) put($("lab-trouble"), String(error.message ?? error));
}

// Servers. What is done to them is asked of the laboratory again and again: another instance's page may do things, too.
const DELAY = 2_000;
const NETWORK = 50;
const cards = new Map();
let busy = 0;

const ACTIONS = [
  {
    id: "pause",
    on: (server) => server.paused,
    word: ["Pause replay", "Resume replay"],
    act: (server) => [server.paused ? "resume" : "pause"],
    replica: true,
    alive: true,
  },
  {
    id: "delay",
    on: (server) => server.apply_delay_ms > 0,
    word: [`Delay replay by ${DELAY / 1e3} s`, "Replay at once"],
    act: (server) => ["delay", { ms: server.apply_delay_ms > 0 ? 0 : DELAY }],
    replica: true,
    alive: true,
  },
  {
    id: "network",
    on: (server) => server.network_delay_ms > 0,
    word: ["Slow the network", "Fast network"],
    act: (server) => ["network", { ms: server.network_delay_ms > 0 ? 0 : NETWORK }],
    alive: true,
  },
  {
    id: "kill",
    on: (server) => !server.running,
    word: ["Kill", "Bring back"],
    act: (server) => [server.running ? "kill" : "start"],
    harsh: true,
  },
];

function card(server) {
  const what = el("span");
  const image = icon("ok");
  const does = el("div", "does");
  const made = { what, image, item: el("li", "", el("div", "what", image, el("b", "", server.name), what), does), buttons: [] };
  made.item.dataset.server = server.name;
  for (const action of ACTIONS) {
    if (action.replica && server.role !== "replica") continue;
    const button = el("button", action.harsh ? "harsh" : "");
    button.type = "button";
    button.dataset.action = action.id;
    button.addEventListener("click", () => {
      const [path, json] = action.act(made.server);
      act(`/lab/nodes/${encodeURIComponent(server.name)}/${path}`, json);
    });
    does.append(button);
    made.buttons.push({ action, button });
  }
  cards.set(server.name, made);
  $("servers").append(made.item);
  return made;
}

function show({ nodes }) {
  for (const server of nodes) {
    const made = cards.get(server.name) ?? card(server);
    made.server = server;
    const done = [
      !server.running && "killed",
      server.paused && "replay is paused",
      server.apply_delay_ms > 0 && `commits wait ${server.apply_delay_ms / 1e3} s`,
      server.network_delay_ms > 0 && `network takes ${server.network_delay_ms} ms each way`,
    ].filter(Boolean);
    const state = !server.running ? "bad" : done.length ? "warn" : "ok";
    set(made.item, "data-state", state);
    set(made.image.firstChild, "href", `#i-${state}`);
    put(made.what, done.join(", ") || "runs");
    for (const { action, button } of made.buttons) {
      const on = action.on(server);
      put(button, action.word[Number(on)]);
      set(button, "aria-label", `${action.word[Number(on)]}: ${server.name}`);
      set(button, "data-on", String(on));
      button.disabled = busy > 0 || (action.alive && !server.running);
    }
  }
  $("heal-all").disabled = busy > 0;
}

function refresh() {
  show({ nodes: [...cards.values()].map((made) => made.server) });
}

async function act(path, json) {
  const focused = document.activeElement;
  busy += 1;
  refresh();
  try {
    const nodes = await ask("POST", path, { json });
    trouble(null);
    busy -= 1;
    show(nodes);
  } catch (error) {
    busy -= 1;
    refresh();
    trouble(error);
  }
  // A button that was disabled meanwhile has lost the keyboard.
  if (document.activeElement === document.body) focused?.focus();
}

$("heal-all").addEventListener("click", () => act("/lab/heal"));

let frames = 0;
document.addEventListener("rr:frame", async () => {
  frames += 1;
  if (busy || (frames % 12 !== 1 && cards.size)) return;
  try {
    const nodes = await ask("GET", "/lab/nodes");
    if (!busy) show(nodes);
  } catch (error) {
    trouble(error);
  }
});

// Background traffic: a write and some reads of a session, again and again while the page is in sight.
let flowing = false;
async function flow() {
  if (flowing) return;
  flowing = true;
  while ($("traffic").getAttribute("aria-pressed") === "true" && !document.hidden && document.body.dataset.link === "live") {
    try {
      await ask("POST", "/lab/burst?count=24");
    } catch {
      // Whatever it is, the page shows it: no primary, say.
    }
    await new Promise((resume) => setTimeout(resume, 180 + Math.random() * 140));
  }
  flowing = false;
}
document.addEventListener("rr:frame", flow);
$("traffic").addEventListener("click", () => {
  set($("traffic"), "aria-pressed", String($("traffic").getAttribute("aria-pressed") !== "true"));
});

// A hundred reads.
const short = (name) => name.match(/\d+$/)?.[0] ?? name[0].toUpperCase();

function blank() {
  $("strip").classList.remove("fresh");
  $("strip").replaceChildren(...Array.from({ length: 100 }, () => el("li", "empty-cell")));
  $("strip").setAttribute("aria-hidden", "true");
}
blank();

function verdict(state, sum, ...rest) {
  const made = $("verdict");
  made.dataset.state = state;
  made.replaceChildren(...(state === "unknown" ? [] : [icon(state)]), el("span", "sum", sum), ...rest);
}

$("burst").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.submitter;
  if (button.disabled) return;
  button.disabled = true;
  verdict("unknown", "Writing and reading …");
  blank();
  try {
    const level = $("level").value;
    const report = await ask("POST", `/lab/burst?count=100&level=${encodeURIComponent(level)}`);
    const all = report.seen === report.count;
    const promised = level !== "eventual" && !level.startsWith("bounded");
    const swatches = Object.entries(report.nodes).map(([name, times]) => {
      const made = el("span", "swatch", `${name} (${short(name)}): ${times}`);
      made.style.setProperty("--series", `var(--n${style(name)})`);
      return made;
    });
    const state = all ? "ok" : promised ? "bad" : "warn";
    const more = all || promised ? [] : [el("small", "", `${report.level} promises no more`)];
    verdict(state, `${report.seen} of ${report.count} reads saw the write`, ...swatches, ...more);
    $("strip").classList.add("fresh");
    $("strip").removeAttribute("aria-hidden");
    $("strip").replaceChildren(...report.reads.map(cell));
  } catch (error) {
    verdict("bad", String(error.message));
  }
  button.disabled = false;
  if (document.activeElement === document.body) button.focus();
});

function cell({ node, seen, ms }, nth) {
  const made = el("li", seen ? "" : "missed", seen ? short(node) : "×");
  const text = `Read ${nth + 1}: ${node}, ${seen ? "saw the write" : "did not see it"}, ${ms} ms`;
  made.title = text;
  made.setAttribute("aria-label", text);
  made.dataset.node = node;
  made.style.setProperty("--series", `var(--n${style(node)})`);
  made.style.setProperty("--nth", nth);
  return made;
}

// Two instances, and a cookie.
let other = null;

function at(place) {
  // The name by which the browser knows this machine, or its cookies would stay behind.
  const url = new URL(place.url);
  url.hostname = location.hostname;
  return url.href;
}

async function places() {
  const { instances } = await ask("GET", "/lab/instances");
  other = instances.find(({ number }) => number !== here)?.number ?? null;
  for (const place of instances) {
    if (place.number === here) continue;
    const link = el("a", "", `Page of instance ${place.number}`);
    link.href = at(place);
    $("routes").append(" ", link);
  }
  if (other == null) {
    $("across").querySelector("button").disabled = true;
    put($("across-hint"), "There is only one instance. Start the example with --instances 2 to try this.");
  }
}
places().catch(trouble);

function stepped(state, text, ms) {
  const item = el("li", "", icon(state), el("span", "", text), el("small", "", ms == null ? "" : `${ms} ms`));
  item.dataset.state = state;
  $("steps").append(item);
}

let known = false;
$("across").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.submitter ?? $("across").querySelector("button");
  if (button.disabled) return;
  button.disabled = true;
  $("steps").replaceChildren();
  try {
    if (!known) await ask("POST", "/login", { json: { name: "ann" } });
    known = true;
    const json = { title: $("note").value || "untitled", body: "written on the live page", tags: ["laboratory"] };
    const begun = performance.now();
    const note = await ask("POST", "/notes", { json });
    stepped("ok", `Instance ${here} wrote note ${note.id}, and your browser got a cookie`, Math.round(performance.now() - begun));
    const path = `/lab/at/${other}/notes/${note.id}`;
    // Without first: afterwards instance 2 has heard of the write.
    const without = await ask("GET", path, { cookies: false });
    const withIt = await ask("GET", path);
    const saw = withIt.status === 200 && withIt.body.title === json.title;
    stepped(saw ? "ok" : "bad", `Instance ${other}, with the cookie: ${saw ? "it is there" : "it is not there"}`, withIt.ms);
    const fresh = without.status === 200;
    stepped(
      fresh ? "ok" : "warn",
      `Instance ${other}, without the cookie: ${fresh ? "it is there, as the replica was quick" : "not there yet, and nothing promised that"}`,
      without.ms,
    );
  } catch (error) {
    stepped("bad", String(error.message));
  }
  button.disabled = false;
  if (document.activeElement === document.body) button.focus();
});
