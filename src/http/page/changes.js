// What has changed, in short sentences, the newest first; a screen reader says them as they come.

import { wordOf } from "./mesh.js";

const MOST_AT_ONCE = 8;
const MOST_KEPT = 30;

/** Tells what is so in `after` and was not in `before`. */
export function tellChanges(list, before, after) {
  const told = changes(before, after);
  const lines = told.length > MOST_AT_ONCE ? [`${told.length} nodes have changed`] : told;
  for (const line of lines) list.prepend(item(line));
  while (list.children.length > MOST_KEPT) list.lastChild.remove();
}

function changes(before, after) {
  const of = [...after.nodes.values()].map((node) => [node.pod, change(before.nodes.get(node.pod), node)]);
  const gone = [...before.nodes.keys()].filter((pod) => !after.nodes.has(pod)).map((pod) => [pod, "gone"]);
  return [...gone, ...of].filter(([, what]) => what).map(([pod, what]) => `${pod}: ${what}`);
}

function change(was, is) {
  const what = [];
  if (was && was.address !== is.address && is.address) what.push(was.address ? "address changed" : "address known");
  if (!was || wordOf(was) !== wordOf(is)) what.push(wordOf(is));
  return what.join(", ");
}

function item(text) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString([], { hour12: false });
  line.append(time, ` ${text}`);
  return line;
}
