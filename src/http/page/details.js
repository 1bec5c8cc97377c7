// All that is known of one node.

import { ago, knows, peersOf, say, waitOf, wordOf } from "./mesh.js";

const MOST_NAMES = 4;

const VARIABLE = { spec: "in the pod’s spec", process: "in its process" };

/** Shows a node; without one, what there is to see. */
export function showDetails(section, node, mesh) {
  if (!node) {
    section.replaceChildren(element("h2", "One node"), element("p", "Point at a node, or go to it by Tab and arrow keys."));
    return;
  }
  const list = document.createElement("dl");
  for (const [term, text] of facts(node, mesh)) list.append(element("dt", term), element("dd", text));
  section.replaceChildren(element("h2", node.pod), list);
}

function facts(node, mesh) {
  const wait = waitOf(node);
  const peers = peersOf(node, mesh);
  const since = node.since ? ` (for ${ago(node.since)})` : "";
  return [
    ["State", wordOf(node)],
    ...(wait ? [["Waits for", wait + since]] : []),
    [node.groups.length > 1 ? "Groups" : "Group", node.groups.join(", ")],
    ["Address", node.address ?? "unknown"],
    ["Variable", VARIABLE[node.variable] ?? "none"],
    ["File", withMessage(node.file)],
    ["Reachable", withMessage(node.reach)],
    ["Restarts", `${node.restarts} by Torch`],
    ["Knows", some(peers, (peer) => knows(node, peer))],
    ["Known by", some(peers, (peer) => knows(peer, node))],
  ];
}

function withMessage(outcome) {
  return outcome?.message ? `${say(outcome.state)}: ${outcome.message}` : say(outcome?.state);
}

// Names those who are few: the ones that are, or the ones that are not.
function some(peers, are) {
  const those = peers.filter(are);
  const others = peers.filter((peer) => !are(peer));
  if (peers.length === 0) return "–";
  if (others.length === 0) return those.length > MOST_NAMES ? `all ${those.length}` : names(those);
  if (those.length === 0) return "nobody";
  const named = others.length < those.length ? `not ${names(others)}` : names(those);
  return `${those.length} of ${peers.length}: ${named}`;
}

function names(nodes) {
  const names = nodes.slice(0, MOST_NAMES).map((node) => node.pod);
  return names.join(", ") + (nodes.length > MOST_NAMES ? " …" : "");
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
