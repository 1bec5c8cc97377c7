// The picture: a box for each group, a mark for each node in it, lines for who knows whom. Each is kept as long as
// what it stands for is there, so that the focus stays and a change costs little.

import { layOut, MOST_IN_RING } from "./layout.js";
import { isEarly, knows, meshOf, stateOf, STATES, wordOf, waitOf } from "./mesh.js";

const CHARACTER = 6.7;

export class Picture {
  #svg;
  #pick;
  #layers;
  #boxes = new Map();
  #marks = new Map();
  #mesh = meshOf({ nodes: [] });
  #picked = null;
  #filter = () => true;

  /** Calls `pick` with the pod of the node that is pointed at or has the focus, and with null for none. */
  constructor(svg, pick) {
    this.#svg = svg;
    this.#pick = pick;
    svg.append(arrowHead());
    this.#layers = Object.fromEntries(["boxes", "lines", "picked", "marks"].map((name) => [name, layer(svg, name)]));
    svg.addEventListener("pointerover", (event) => this.#picks(event.target));
    svg.addEventListener("pointerleave", () => this.#picks(document.activeElement));
    // Chromium lets the focus stop at an SVG that listens for it.
    svg.parentElement.addEventListener("focusin", (event) => this.#picks(event.target));
    svg.parentElement.addEventListener("focusout", () => this.#picks(null));
    svg.addEventListener("keydown", (event) => this.#move(event));
    new ResizeObserver(() => this.draw(this.#mesh)).observe(svg.parentElement);
  }

  /** Draws the mesh as it is now. */
  draw(mesh) {
    this.#mesh = mesh;
    const width = Math.max(300, this.#svg.parentElement.clientWidth);
    const layout = layOut(mesh, width);
    set(this.#svg, { width: Math.max(width, ...layout.boxes.map((box) => box.width)), height: layout.height });
    this.#drawBoxes(layout);
    this.#drawMarks(layout);
    this.#layers.lines.replaceChildren(...layout.boxes.flatMap((box) => this.#linesOf(box)));
    this.point(this.#mesh.nodes.has(this.#picked) ? this.#picked : null);
  }

  /** Lets stand out the nodes that pass. */
  filter(passes) {
    this.#filter = passes;
    for (const mark of this.#marks.values()) this.#showFiltered(mark);
  }

  /** Lets one node stand out, with whom it knows and who knows it. */
  point(pod) {
    this.#picked = pod;
    this.#svg.classList.toggle("picking", pod !== null);
    const node = this.#mesh.nodes.get(pod);
    const lines = [];
    for (const mark of this.#marks.values()) {
      const is = mark.node === node;
      mark.link.classList.toggle("picked", is);
      mark.link.classList.toggle("stranger", node !== undefined && !is && !areRelated(node, mark.node));
      if (is) lines.push(...this.#linesFrom(mark));
    }
    this.#layers.picked.replaceChildren(...lines);
  }

  #picks(target) {
    const link = target?.closest?.("#picture a");
    const pod = link ? link.dataset.pod : null;
    if (pod === this.#picked) return;
    this.point(pod);
    this.#pick(pod);
  }

  #drawBoxes(layout) {
    const gone = new Set(this.#boxes.keys());
    for (const box of layout.boxes) {
      gone.delete(box.group);
      if (!this.#boxes.has(box.group)) this.#boxes.set(box.group, newBox(this.#layers.boxes));
      const { rect, title, count } = this.#boxes.get(box.group);
      const complete = box.nodes.filter((node) => stateOf(node) === "complete").length;
      const room = (box.width - 36) / CHARACTER;
      const tally = `${complete} of ${box.nodes.length} complete`;
      set(rect, { x: box.x + 0.5, y: box.y + 0.5, width: box.width - 1, height: box.height - 1, rx: 10 });
      set(title, { x: box.x + 14, y: box.y + 24 });
      set(count, { x: box.x + box.width - 14, y: box.y + 24, class: complete === box.nodes.length ? "all" : "some" });
      const fits = box.group.length + tally.length < room;
      write(count, fits ? tally : "");
      write(title, cut(box.group, room));
    }
    for (const group of gone) {
      this.#boxes.get(group).g.remove();
      this.#boxes.delete(group);
    }
  }

  #drawMarks(layout) {
    const gone = new Set(this.#marks.keys());
    let before = null;
    for (const box of layout.boxes) {
      box.nodes.forEach((node, n) => {
        const key = `${box.group}\n${node.pod}`;
        gone.delete(key);
        if (!this.#marks.has(key)) this.#marks.set(key, newMark(node.pod));
        const mark = this.#marks.get(key);
        this.#place(mark, before);
        before = mark;
        const { x, y } = box.places[n];
        Object.assign(mark, { node, group: box.group, x: box.x + x, y: box.y + y, scale: layout.pitch.scale });
        this.#drawMark(mark, layout.pitch);
      });
    }
    this.#removeMarks(gone);
  }

  // The order in the document is that of the table; what is in its place is not moved, or it would lose the focus.
  #place(mark, before) {
    const next = before ? before.link.nextSibling : this.#layers.marks.firstChild;
    if (mark.link !== next) this.#layers.marks.insertBefore(mark.link, next);
  }

  #drawMark(mark, pitch) {
    const { node, link, scaled, name } = mark;
    const state = stateOf(node);
    const shared = node.groups.length > 1;
    set(link, { transform: `translate(${mark.x.toFixed(1)} ${mark.y.toFixed(1)})` });
    set(scaled, { transform: `scale(${pitch.scale})` });
    set(mark.shape, { d: STATES[state].shape });
    set(mark.glyph, { d: STATES[state].glyph });
    mark.early.toggleAttribute("hidden", !isEarly(node));
    mark.shared.toggleAttribute("hidden", !shared);
    link.dataset.state = state;
    write(name, pitch.name ? cut(node.pod, (pitch.x - 4) / CHARACTER) : "");
    const wait = waitOf(node);
    const others = shared ? `, in groups ${node.groups.join(" and ")}` : "";
    const label = `${node.pod}: ${wordOf(node)}${others}${wait ? `, waits: ${wait}` : ""}`;
    if (link.ariaLabel !== label) link.ariaLabel = label;
    this.#showFiltered(mark);
  }

  #showFiltered(mark) {
    mark.link.classList.toggle("out", !this.#filter(mark.node));
  }

  // A pod that has gone leaves the focus to the one in its place.
  #removeMarks(gone) {
    for (const key of gone) {
      const { link, node, group } = this.#marks.get(key);
      const had = link === document.activeElement;
      link.remove();
      this.#marks.delete(key);
      if (had) this.#all().find((mark) => mark.group === group && mark.node.node === node.node)?.link.focus();
    }
    if (!this.#all().some((mark) => mark.link.tabIndex === 0)) this.#stop(this.#all()[0]);
  }

  // In the order of the document.
  #all() {
    return [...this.#marks.values()].sort((a, b) =>
      a.link.compareDocumentPosition(b.link) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1);
  }

  #linesOf(box) {
    const marks = this.#ring(box.group);
    return marks.flatMap((mark, n) => marks.slice(n + 1).map((other) => line(mark, other))).filter(Boolean);
  }

  #linesFrom(mark) {
    return this.#ring(mark.group).map((other) => other !== mark && line(mark, other)).filter(Boolean);
  }

  // The marks of a group that is small enough for lines: of a large one, a node's strangers fade.
  #ring(group) {
    const nodes = this.#mesh.groups.get(group);
    return nodes.length > MOST_IN_RING ? [] : nodes.map((node) => this.#marks.get(`${group}\n${node.pod}`));
  }

  // Tab comes to one mark, and from there arrow keys to the others.
  #move(event) {
    const all = this.#all();
    const from = all.find((mark) => mark.link === event.target);
    const to = from && goal(event.key, from, all);
    if (!to) return;
    event.preventDefault();
    this.#stop(to);
    to.link.focus();
  }

  #stop(mark) {
    for (const { link } of this.#marks.values()) if (link.tabIndex === 0) link.tabIndex = -1;
    if (mark) mark.link.tabIndex = 0;
  }
}

const DIRECTIONS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

function goal(key, from, all) {
  if (key === "Home") return all[0];
  if (key === "End") return all.at(-1);
  const direction = DIRECTIONS[key];
  return direction && nearest(direction, from, all);
}

// What is aside counts as further away than what is ahead.
function nearest([dx, dy], from, all) {
  let [best, least] = [null, Infinity];
  for (const mark of all) {
    const [x, y] = [mark.x - from.x, mark.y - from.y];
    const ahead = x * dx + y * dy;
    const distance = ahead + 3 * Math.abs(x * dy - y * dx);
    if (ahead > 1 && distance < least) [best, least] = [mark, distance];
  }
  return best;
}

function areRelated(a, b) {
  return a.groups.some((group) => b.groups.includes(group)) && (knows(a, b) || knows(b, a));
}

function line(a, b) {
  const [there, back] = [knows(a.node, b.node), knows(b.node, a.node)];
  if (!there && !back) return null;
  const [from, to] = there ? [a, b] : [b, a];
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  const [x, y] = [(to.x - from.x) / length, (to.y - from.y) / length];
  const broken = [a, b].some(({ node }) => stateOf(node) === "unreachable");
  const gap = 20 * a.scale;
  return set(make("line"), {
    x1: from.x + gap * x,
    y1: from.y + gap * y,
    x2: to.x - gap * x,
    y2: to.y - gap * y,
    class: broken ? "broken" : "whole",
    ...(there && back ? {} : { "marker-end": "url(#arrow)" }),
  });
}

function newBox(layer) {
  const g = make("g");
  const [rect, title, count] = [make("rect"), make("text"), make("text")];
  set(title, { class: "title" });
  g.append(rect, title, count);
  g.ariaHidden = "true";
  layer.append(g);
  return { g, rect, title, count };
}

function newMark(pod) {
  const link = set(make("a"), { href: `#pod-${pod}`, tabindex: -1 });
  link.dataset.pod = pod;
  const [scaled, shape, glyph, name] = [make("g"), make("path"), make("path"), make("text")];
  const halo = set(make("circle"), { class: "halo", r: 20 });
  const early = set(make("path"), { class: "early", d: "M12,-17.5l6,10h-12Z" });
  const shared = set(make("circle"), { class: "shared", r: 17 });
  set(shape, { class: "shape" });
  set(glyph, { class: "glyph" });
  set(name, { class: "name", y: 33 });
  scaled.append(halo, shared, shape, glyph, early);
  link.append(scaled, name);
  return { link, scaled, shape, glyph, early, shared, name };
}

/** A state's mark, for legend and table. */
export function icon(state) {
  const svg = set(make("svg"), { viewBox: "-16 -16 32 32", width: 18, height: 18, "aria-hidden": "true" });
  const g = make("g");
  g.dataset.state = state;
  svg.append(g);
  g.append(set(make("path"), { class: "shape", d: STATES[state].shape }));
  g.append(set(make("path"), { class: "glyph", d: STATES[state].glyph }));
  return svg;
}

/** The mark of early nodes, for the legend. */
export function earlyIcon() {
  const svg = set(make("svg"), { viewBox: "4 -19 16 14", width: 14, height: 13, "aria-hidden": "true" });
  svg.append(set(make("path"), { class: "early", d: "M12,-17.5l6,10h-12Z" }));
  return svg;
}

function arrowHead() {
  const marker = set(make("marker"), {
    id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse",
  });
  marker.append(set(make("path"), { d: "M0,0L8,4L0,8Z" }));
  const defs = make("defs");
  defs.append(marker);
  return defs;
}

function layer(svg, name) {
  const g = set(make("g"), { class: name });
  svg.append(g);
  return g;
}

function cut(text, most) {
  const room = Math.max(3, Math.floor(most));
  if (text.length <= room) return text;
  const end = Math.floor((room - 1) / 2);
  return `${text.slice(0, room - 1 - end)}…${text.slice(text.length - end)}`;
}

function make(name) {
  return document.createElementNS("http://www.w3.org/2000/svg", name);
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
  }
  return element;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
