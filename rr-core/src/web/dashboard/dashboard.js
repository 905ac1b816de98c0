// Takes in frames and hands them to the parts of the page.
import { animate, Chart } from "./chart.js";
import { bytes, put, rate, seconds, set, style } from "./format.js";
import { isBehind, Topology } from "./topology.js";
import { Last, Log, Rates, Why } from "./traffic.js";

const $ = (id) => document.getElementById(id);
const say = (text) => put($("say"), text);

// No frame for so long, in milliseconds: the connection is lost, whatever the browser thinks.
const SILENCE = 3_000;

const charts = {
  age: new Chart($("c-age"), { format: seconds, floor: 1, say }),
  bytes: new Chart($("c-bytes"), { format: bytes, floor: 1024, base: 1024, say }),
  rate: new Chart($("c-rate"), { format: (value) => (value == null ? "–" : `${rate(value)}/s`), floor: 10, say }),
};
animate(Object.values(charts));

const topology = new Topology($("topology"));
const why = new Why();
const last = new Last();
const log = new Log();
let rates = new Rates();
let newest = null;

function show(frame, fresh) {
  // The page may be open for longer than the process that answers.
  if (fresh && newest && frame.at_ms < newest.at_ms) rates = new Rates();
  newest = frame;
  // Colours are given out in the order of the nodes.
  frame.nodes.forEach((node) => style(node.name));
  rates.push(frame);
  const now = Date.now();
  const date = (at) => new Date(now - (frame.at_ms - at));
  const recent = rates.recent();
  header(frame);
  tiles(frame, recent);
  topology.show(frame, recent);
  put($("nodes-sum"), summary(frame));
  const replicas = frame.nodes.filter((node) => node.role !== "primary");
  charts.age.push(frame.at_ms, new Map(replicas.map((node) => [node.name, node.lag_seconds])));
  charts.bytes.push(frame.at_ms, new Map(replicas.map((node) => [node.name, node.lag_bytes])));
  const sum = ({ reads, writes }) => (reads == null ? null : reads + writes);
  charts.rate.push(frame.at_ms, new Map([...recent].map(([name, one]) => [name, sum(one)])));
  why.show(frame, rates.reasons());
  last.show(frame, date);
  log.show(frame, date, fresh);
  document.dispatchEvent(new CustomEvent("rr:frame", { detail: frame }));
}

function header(frame) {
  const { status, reads } = frame.cluster;
  const lagging = frame.nodes.some(isBehind);
  const [state, word] = !frame.watching
    ? ["unknown", "Not watched any more"]
    : status === "unhealthy"
      ? ["bad", reads ? "No writes" : "Down"]
      : status === "degraded"
        ? ["warn", "Degraded"]
        : lagging
          ? ["warn", "A replica is behind"]
          : ["ok", "Healthy"];
  set($("status"), "data-state", state);
  set($("status").querySelector("use"), "href", `#i-${state}`);
  put($("status-word"), word);
  put($("epoch"), `Epoch ${frame.cluster.epoch}`);
}

function summary(frame) {
  const replicas = frame.nodes.filter((node) => node.role !== "primary");
  const serving = replicas.filter((node) => node.healthy).length;
  if (!replicas.length) return "no replicas";
  return `${serving} of ${replicas.length} ${replicas.length === 1 ? "replica serves" : "replicas serve"}`;
}

function tiles(frame, recent) {
  const all = [...recent.values()];
  const known = all.every((one) => one.reads != null);
  const sum = (pick) => (known ? all.reduce((total, one) => total + pick(one), 0) : null);
  put($("t-reads"), rate(sum((one) => one.reads)));
  put($("t-writes"), rate(sum((one) => one.writes)));
  const long = rates.over(10_000, (node) => node.reads);
  const total = long && [...long.values()].reduce((one, other) => one + other, 0);
  const primary = frame.nodes.find((node) => node.role === "primary");
  const there = primary ? (long?.get(primary.name) ?? 0) : 0;
  put($("t-share"), total ? `${share((total - there) / total)} %` : "–");
  const serving = frame.nodes.filter((node) => node.role !== "primary" && node.healthy && node.lag_seconds != null);
  const oldest = serving.reduce((one, other) => (one && one.lag_seconds >= other.lag_seconds ? one : other), null);
  put($("t-age"), oldest ? seconds(oldest.lag_seconds) : "–");
  put($("t-age-of"), oldest ? `at most, ${oldest.name}` : "no replica serves");
}

// Never rounded up to all of them.
function share(part) {
  return part > 0.9995 ? (part === 1 ? "100" : "99.9") : (part * 100).toFixed(1);
}

// The connection. `EventSource` tries again by itself while a server cannot be reached, and gives up where one refuses.
let source = null;
let heard = performance.now();
let timer = null;
let patience = 1_000;

function connect() {
  clearTimeout(timer);
  timer = null;
  source?.close();
  source = new EventSource(`${document.body.dataset.files}/events`);
  source.addEventListener("state", (event) => hear(event, true));
  source.addEventListener("tick", (event) => hear(event, false));
  source.addEventListener("error", () => {
    link("lost");
    if (source.readyState === EventSource.CLOSED && timer == null) {
      timer = setTimeout(connect, patience);
      patience = Math.min(patience * 2, 15_000);
    }
  });
}

function hear(event, fresh) {
  heard = performance.now();
  patience = 1_000;
  link("live");
  show(JSON.parse(event.data), fresh);
}

function link(state) {
  const before = document.body.dataset.link;
  if (state === "lost") {
    // The sentence is read out once; how old it all is changes every second, and is for the eye.
    put($("lost-text"), newest ? "Connection lost, trying again." : "There is no connection, trying again.");
    put($("lost-age"), newest ? `What you see is ${Math.round((performance.now() - heard) / 1e3)} s old.` : "");
  }
  if (before === state) return;
  document.body.dataset.link = state;
  $("lost").hidden = state !== "lost";
  put($("live-word"), state === "live" ? "Live" : "No connection");
  if (state === "lost") document.dispatchEvent(new CustomEvent("rr:lost"));
}

setInterval(() => {
  if (performance.now() - heard > SILENCE) {
    link("lost");
    // A connection that says nothing and does not end either.
    if (source.readyState === EventSource.OPEN) connect();
  }
}, 1_000);
$("retry").addEventListener("click", connect);
addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => event.persisted && connect());
connect();
