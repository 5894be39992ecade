// One image laid on the other, so that what both show lies in the same place.

const WHOLE = [[0, 0], [1, 0], [1, 1], [0, 1]];

/**
 * Return the eight numbers of the projection that takes four corners to four others.
 *
 * Each corner gives two equations: u = (a x + b y + c) / (g x + h y + 1), v = (d x + e y + f) / (g x + h y + 1).
 * Null where three of the corners lie on a line.
 */
function projection(from, to) {
  const rows = [];
  from.forEach(([x, y], i) => {
    const [u, v] = to[i];
    rows.push([x, y, 1, 0, 0, 0, -u * x, -u * y, u], [0, 0, 0, x, y, 1, -v * x, -v * y, v]);
  });
  return solved(rows);
}

/** Solve linear equations by elimination, each row with its right side at the end; null where there is no one answer. */
function solved(rows) {
  const count = rows.length;
  for (let column = 0; column < count; column += 1) {
    let pivot = column;
    for (let row = column; row < count; row += 1) if (Math.abs(rows[row][column]) > Math.abs(rows[pivot][column])) pivot = row;
    if (Math.abs(rows[pivot][column]) < 1e-9) return null;
    [rows[column], rows[pivot]] = [rows[pivot], rows[column]];
    for (let row = 0; row < count; row += 1) {
      if (row === column) continue;
      const share = rows[row][column] / rows[column][column];
      for (let at = column; at <= count; at += 1) rows[row][at] -= share * rows[column][at];
    }
  }
  return rows.map((row, i) => row[count] / row[i]);
}

/** Lay an image, which fills a frame of `width` by `height` px, so that its part lies on the other's part. */
function layOver(element, part, onto, width, height) {
  const scaled = (corners) => corners.map(([x, y]) => [x * width, y * height]);
  const found = projection(scaled(part), scaled(onto));
  if (!found) return false;
  const [a, b, c, d, e, f, g, i] = found;
  element.style.transformOrigin = "0 0";
  element.style.transform = `matrix3d(${[a, d, 0, g, b, e, 0, i, 0, 0, 1, 0, c, f, 0, 1].map((each) => each.toFixed(9)).join(",")})`;
  return true;
}

/** Return a part less its outermost hundredth. */
function shrunk(part) {
  const middle = [0, 1].map((axis) => part.reduce((sum, corner) => sum + corner[axis], 0) / part.length);
  return part.map((corner) => corner.map((at, axis) => middle[axis] + (at - middle[axis]) * 0.99));
}

/** Leave only a part of an element. */
function cutTo(element, part) {
  element.style.clipPath = part ? `polygon(${part.map(([x, y]) => `${(100 * x).toFixed(2)}% ${(100 * y).toFixed(2)}%`).join(",")})` : "";
}

/** Return the outline of a part, to lie on an image. */
function outlineOf(part) {
  const points = part.map(([x, y]) => `${x},${y}`).join(" ");
  return svg("svg", { class: "outline", viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("polygon", { points }));
}
