// Where groups and nodes are drawn: a box for each group, in rows; in it few nodes in a ring, many in a grid.

// The most nodes that are drawn with their names.
const MOST_NAMED = 60;
// The most nodes of a group that stand in a ring, and whose lines are all drawn.
export const MOST_IN_RING = 12;

const GAP = 12;
const TITLE = 30;
const NAMED = { x: 116, y: 66, radius: 74, scale: 1, name: 20, padding: 16 };
const NAMELESS = { x: 32, y: 32, radius: 24, scale: 0.75, name: 0, padding: 10 };

/** Boxes with their places, and the height of all. */
export function layOut(mesh, width) {
  const pitch = mesh.nodes.size > MOST_NAMED ? NAMELESS : NAMED;
  const boxes = [...mesh.groups].map(([group, nodes]) => box(group, nodes, pitch, width));
  return { boxes, pitch, height: stack(boxes, width) };
}

function box(group, nodes, pitch, width) {
  const arranged = nodes.length <= MOST_IN_RING ? ring(nodes.length, pitch) : grid(nodes.length, pitch, width);
  return {
    group,
    nodes,
    width: arranged.width + 2 * pitch.padding,
    height: arranged.height + TITLE + 2 * pitch.padding,
    places: arranged.points.map(([x, y]) => ({ x: x + pitch.padding, y: y + TITLE + pitch.padding })),
  };
}

// Its first two nodes side by side, so that a pair is a row.
function ring(count, pitch) {
  const radius = count === 1 ? 0 : Math.max(pitch.radius, (count * pitch.x) / (2 * Math.PI));
  const points = Array.from({ length: count }, (_, n) => {
    const angle = (2 * Math.PI * n) / count - (count === 2 ? Math.PI : Math.PI / 2);
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  });
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const [left, top] = [Math.min(...xs) - pitch.x / 2, Math.min(...ys) - 18];
  return {
    width: Math.max(...xs) + pitch.x / 2 - left,
    height: Math.max(...ys) + 18 + pitch.name - top,
    points: points.map(([x, y]) => [x - left, y - top]),
  };
}

function grid(count, pitch, width) {
  const most = Math.max(1, Math.floor((width - 2 * pitch.padding) / pitch.x));
  const columns = Math.min(most, Math.ceil(Math.sqrt(2 * count)));
  const point = (n) => [((n % columns) + 0.5) * pitch.x, 18 + Math.floor(n / columns) * pitch.y];
  return {
    width: columns * pitch.x,
    height: (Math.ceil(count / columns) - 1) * pitch.y + 36 + pitch.name,
    points: Array.from({ length: count }, (_, n) => point(n)),
  };
}

// Gives each box its place, in rows that stand in the middle; returns the height of all.
function stack(boxes, width) {
  let y = 0;
  for (const row of rows(boxes, width)) {
    let x = Math.max(0, (width - widthOf(row)) / 2);
    for (const box of row) {
      [box.x, box.y] = [Math.round(x), y];
      x += box.width + GAP;
    }
    y += Math.max(...row.map((box) => box.height)) + GAP;
  }
  return Math.max(0, y - GAP);
}

function rows(boxes, width) {
  const rows = [];
  for (const box of boxes) {
    const row = rows.at(-1);
    if (row && widthOf([...row, box]) <= width) row.push(box);
    else rows.push([box]);
  }
  return rows;
}

function widthOf(row) {
  return row.reduce((sum, box) => sum + box.width + GAP, -GAP);
}
