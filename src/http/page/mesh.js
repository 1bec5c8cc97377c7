// What /status says, in the page's words: how each node stands, who its peers are, and whom it knows.

// In the order of the legend. Shape and glyph are SVG paths around the origin: a state is told by its shape, its
// colour and its word.
export const STATES = {
  complete: {
    word: "complete",
    shape: "M-12,0a12,12 0 1,0 24,0a12,12 0 1,0 -24,0Z",
    glyph: "M-5,.5l3.5,3.500l6.5,-7.5",
  },
  waiting: {
    word: "waiting",
    shape: "M0,-14.500L14.5,0L0,14.500L-14.5,0Z",
    glyph: "M-5,0h.01M0,0h.01M5,0h.01",
  },
  restarting: {
    word: "restarting",
    shape: "M-7,-12.200h14l7,12.200l-7,12.200h-14l-7,-12.200Z",
    glyph: "M4.5,-3.500A6,6 0 1,0 6,0M5.5,-7.500v4.500h-4.5",
  },
  unknown: {
    word: "address unknown",
    shape: "M-12,0a12,12 0 1,0 24,0a12,12 0 1,0 -24,0Z",
    glyph: "M-3.3,-3a3.3,3.3 0 1,1 5,2.800q-1.7,1 -1.7,2.400M0,6h.01",
  },
  unreachable: {
    word: "unreachable",
    shape: "M-11,-11h22v22h-22Z",
    glyph: "M-4.5,-4.500l9,9M4.5,-4.500l-9,9",
  },
  absent: {
    word: "no pod",
    shape: "M-9,0a9,9 0 1,0 18,0a9,9 0 1,0 -18,0Z",
    glyph: "M-3.5,0h7",
  },
};

/** The status with its nodes by pod and by group. */
export function meshOf(status) {
  const groups = new Map();
  for (const node of status.nodes) {
    for (const group of node.groups) {
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push(node);
    }
  }
  return { status, groups, nodes: new Map(status.nodes.map((node) => [node.pod, node])) };
}

/** The key in STATES. */
export function stateOf(node) {
  const reason = node.waitsFor?.reason;
  if (reason === "pod") return "absent";
  if (reason === "restart" || isEnding(node)) return "restarting";
  if (node.reach && node.reach.state !== "reachable") return "unreachable";
  if (!node.address) return "unknown";
  return reason || !isUp(node) ? "waiting" : "complete";
}

/** The state in words. */
export function wordOf(node) {
  const { word } = STATES[stateOf(node)];
  return isEarly(node) ? `${word}, early` : word;
}

/** Whether it runs without the variable. Before its process was looked at nobody knows. */
export function isEarly(node) {
  const unseen = ["look", "container", "start"].includes(node.waitsFor?.reason);
  return node.phase === "Running" && !node.variable && !unseen;
}

/** What it waits for; empty where it waits for nothing. */
export function waitOf(node) {
  if (node.waitsFor) return node.waitsFor.message;
  if (isEnding(node)) return "its pod’s end";
  return isUp(node) ? "" : `its pod, which is ${node.phase}`;
}

// Torch is done with a pod that is being deleted.
function isEnding(node) {
  return node.phase === "Running" && !node.variable && !node.waitsFor;
}

// A node elsewhere, with a fixed address, needs no pod.
function isUp(node) {
  return ["Running", "NotFound"].includes(node.phase);
}

/** Whether `node` was given the address of `peer`. */
export function knows(node, peer) {
  return Boolean(node.variable && peer.address && !node.lacks.includes(peer.address));
}

/** The other members of its groups, each once. */
export function peersOf(node, mesh) {
  const peers = new Set(node.groups.flatMap((group) => mesh.groups.get(group) ?? []));
  peers.delete(node);
  return [...peers];
}

/** How long ago, roughly. */
export function ago(since) {
  const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(since)) / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

/** An address whose peer id is cut: of that the end says enough. */
export function short(address) {
  return address.replace(/(\/p2p\/).+(.{6})$/, "$1…$2");
}

const WORDS = {
  written: "written",
  upToDate: "up to date",
  absent: "no directory",
  notWritable: "not writable",
  noShell: "no shell",
  reachable: "reachable",
  unresolved: "name not resolved",
  unreachable: "unreachable",
  otherPeer: "another peer answers",
};

/** An outcome of /status for people; a dash for none. */
export function say(word) {
  return word ? (WORDS[word] ?? word) : "–";
}
