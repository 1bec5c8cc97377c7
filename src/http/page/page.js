// Follows the status by server-sent events, and has each part of the page show it.

import { tellChanges } from "./changes.js";
import { showDetails } from "./details.js";
import { isEarly, meshOf, stateOf, STATES } from "./mesh.js";
import { earlyIcon, icon, Picture } from "./picture.js";
import { Table } from "./table.js";

// Until a connection that was refused is tried again; one that broke the browser tries again by itself.
const PAUSE = 3000;

const at = (id) => document.getElementById(id);
const picture = new Picture(at("picture"), pick);
const table = new Table(at("rows"), (pod) => { picture.point(pod); pick(pod); });

let mesh = null;
let picked = null;
let lost = null;

function connect() {
  const source = new EventSource("/status/events");
  source.addEventListener("status", (event) => { isConnected(true); show(JSON.parse(event.data)); });
  source.addEventListener("open", () => isConnected(true));
  source.addEventListener("error", () => {
    isConnected(false);
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, PAUSE);
  });
}

function isConnected(is) {
  lost = is ? null : (lost ?? new Date());
  document.body.classList.toggle("lost", !is);
  write(at("connection"), is ? "live" : `not connected since ${lost.toLocaleTimeString([], { hour12: false })}`);
}

function show(status) {
  const begin = performance.now();
  const before = mesh;
  mesh = meshOf(status);
  showWhose(status);
  showLegend();
  picture.draw(mesh);
  table.draw(mesh);
  showFiltered();
  showDetails(at("details"), mesh.nodes.get(picked), mesh);
  if (before) tellChanges(at("changes"), before, mesh);
  performance.clearMeasures();
  performance.measure("show", { start: begin });
}

function showWhose({ namespace, answeredBy, leader }) {
  document.title = `Torch: ${namespace}`;
  write(at("namespace"), `namespace ${namespace}, as ${answeredBy} sees it`);
  const notice = at("notice");
  notice.hidden = leader === answeredBy;
  const all = `all is shown by kubectl port-forward -n ${namespace} ${leader} 8080`;
  write(notice, leader ? `${answeredBy} does not lead, so it has not seen inside of the nodes: ${all}`
    : "No Torch leads: nothing is learned, written or restarted.");
}

function showLegend() {
  const nodes = [...mesh.nodes.values()];
  const count = (is) => nodes.filter(is).length;
  const entries = Object.entries(STATES).map(([state, { word }]) =>
    entry(icon(state), count((node) => stateOf(node) === state), word));
  entries.push(entry(earlyIcon(), count(isEarly), "early: without the variable"));
  at("legend").replaceChildren(...entries);
}

function entry(mark, count, word) {
  const item = document.createElement("li");
  const number = document.createElement("b");
  number.textContent = count;
  item.classList.toggle("none", count === 0);
  item.append(mark, number, ` ${word}`);
  return item;
}

function showFiltered() {
  const words = at("filter").value;
  const shown = table.filter(words);
  picture.filter((node) => table.passes(node));
  write(at("shown"), words ? `${shown} of ${mesh.nodes.size}` : "");
}

function pick(pod) {
  picked = pod;
  if (mesh) showDetails(at("details"), mesh.nodes.get(pod), mesh);
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

at("filter").addEventListener("input", () => mesh && showFiltered());
setInterval(() => table.tick(), 1000);
showDetails(at("details"));
connect();
