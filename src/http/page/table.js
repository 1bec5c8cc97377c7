// The table: a row for each node, kept as long as its pod is there.

import { ago, say, short, stateOf, waitOf, wordOf } from "./mesh.js";
import { icon } from "./picture.js";

export class Table {
  #body;
  #rows = new Map();
  #words = "";

  /** Calls `point` with the pod of the row that is pointed at, and with null for none. */
  constructor(body, point) {
    this.#body = body;
    body.addEventListener("pointerover", (event) => point(event.target.closest("tr")?.dataset.pod ?? null));
    body.addEventListener("pointerleave", () => point(null));
  }

  /** Writes the mesh as it is now. */
  draw(mesh) {
    const gone = new Set(this.#rows.keys());
    let next = this.#body.firstChild;
    for (const node of mesh.nodes.values()) {
      gone.delete(node.pod);
      if (!this.#rows.has(node.pod)) this.#rows.set(node.pod, newRow(node.pod));
      const row = this.#rows.get(node.pod);
      if (row.tr === next) next = next.nextSibling;
      else this.#body.insertBefore(row.tr, next);
      fill(row, node);
      row.tr.hidden = !this.passes(node);
    }
    for (const pod of gone) {
      this.#rows.get(pod).tr.remove();
      this.#rows.delete(pod);
    }
  }

  /** Shows only the nodes with this text in a column; says how many these are. */
  filter(words) {
    this.#words = words.trim().toLowerCase();
    let shown = 0;
    for (const { tr, node } of this.#rows.values()) {
      tr.hidden = !this.passes(node);
      shown += tr.hidden ? 0 : 1;
    }
    return shown;
  }

  /** Whether a node is among those shown. */
  passes(node) {
    return !this.#words || [...texts(node), node.address ?? ""].some((text) => text.toLowerCase().includes(this.#words));
  }

  /** Writes anew how long each waits. */
  tick() {
    for (const row of this.#rows.values()) writeWait(row, row.node);
  }
}

function texts(node) {
  return [
    node.groups.join(", "),
    node.pod,
    wordOf(node),
    waitOf(node),
    node.variable ?? "–",
    say(node.file?.state),
    say(node.reach?.state),
    String(node.restarts),
  ];
}

function newRow(pod) {
  const tr = document.createElement("tr");
  tr.id = `pod-${pod}`;
  tr.dataset.pod = pod;
  const cells = Array.from({ length: 9 }, (_, column) => {
    const cell = document.createElement(column === 1 ? "th" : "td");
    cell.append("");
    return cell;
  });
  cells[1].scope = "row";
  // A long address may be broken behind its host, and nowhere else.
  const parts = [document.createElement("span"), document.createElement("span")];
  cells[8].replaceChildren(parts[0], document.createElement("wbr"), parts[1]);
  tr.append(...cells);
  return { tr, cells, parts };
}

function fill(row, node) {
  row.node = node;
  texts(node).forEach((text, column) => write(row.cells[column], text));
  const state = stateOf(node);
  if (row.state !== state) {
    row.cells[2].querySelector("svg")?.remove();
    row.cells[2].prepend(icon(state));
    row.state = state;
  }
  title(row.cells[5], node.file?.message);
  title(row.cells[6], node.reach?.message);
  title(row.cells[8], node.address);
  const [, host, rest] = /^(\/[^/]+\/[^/]+)(.*)$/.exec(short(node.address ?? "")) ?? [null, "–", ""];
  [host, rest].forEach((text, n) => { if (row.parts[n].textContent !== text) row.parts[n].textContent = text; });
  writeWait(row, node);
}

function writeWait(row, node) {
  const wait = waitOf(node);
  const since = wait && node.since ? ` (for ${ago(node.since)})` : "";
  write(row.cells[3], wait ? wait + since : "–");
}

// Into the cell's text, which stands last in it.
function write(cell, text) {
  if (cell.lastChild.data !== text) cell.lastChild.data = text;
}

function title(cell, text) {
  if (cell.title !== (text ?? "")) cell.title = text ?? "";
}
