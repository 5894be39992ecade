// What the report holds, and what it comes to at another radius.

const report = JSON.parse($("data").textContent);
const images = report.images;
const imageCount = images.name.length;
/** Images that were there before: shown because others duplicate them, and not counted. */
const isOutside = (i) => images.outside?.[i] === 1;
const ownCount = images.name.filter((_, i) => !isOutside(i)).length;

/**
 * The smallest radius at which each image is a duplicate. At the radius of the run that is what its verdict says, even
 * where more than the distance was asked: a duplicate beyond the radius counts from the radius on, and a unique image
 * within it (its second look told them apart) never does.
 */
const duplicateFrom = Float64Array.from(images.distance, (distance, i) => {
  const known = distance === null ? Infinity : distance;
  if (images.verdict[i]) return Math.min(known, report.radius);
  return images.nearest[i] < 0 || known <= report.radius ? Infinity : known;
});

/**
 * Return the groups at a radius: of each image the one that its group goes back to (`root`), whether it is a duplicate,
 * and the groups of at least two images, or of a duplicate whose original is not here.
 */
function groupsAt(radius) {
  const duplicate = Uint8Array.from(duplicateFrom, (from) => (from <= radius ? 1 : 0));
  const root = new Int32Array(imageCount).fill(-1);
  const onPath = -2;
  for (let i = 0; i < imageCount; i += 1) {
    const path = [];
    let at = i;
    while (root[at] === -1 && duplicate[at] && images.nearest[at] >= 0) {
      root[at] = onPath;
      path.push(at);
      at = images.nearest[at];
    }
    let end = root[at] === -1 ? at : root[at];
    if (end === onPath) {
      // Images that name one another in a circle, as two unique ones do that are nearest to each other: one stays unique.
      const circle = path.slice(path.indexOf(at));
      end = circle.find((each) => images.keep[each]) ?? circle.reduce((one, two) => Math.min(one, two));
      duplicate[end] = 0;
    }
    root[end] = end;
    for (const each of path) root[each] = end;
  }
  return { radius, root, duplicate, groups: groupsOf(root, duplicate), duplicates: duplicate.reduce((sum, one, i) => sum + (isOutside(i) ? 0 : one), 0) };
}

function groupsOf(root, duplicate) {
  const members = new Map();
  for (let i = 0; i < imageCount; i += 1) {
    if (root[i] === i && !duplicate[i]) continue;
    if (!members.has(root[i])) members.set(root[i], root[i] === i ? [] : [root[i]]);
    members.get(root[i]).push(i);
  }
  return [...members].map(([first, all]) => {
    const head = all.find((each) => images.keep[each]) ?? first;
    const others = all.filter((each) => each !== head);
    // The nearest copies first: what follows is the more doubtful the further it stands to the right.
    others.sort((one, two) => (images.distance[one] ?? -1) - (images.distance[two] ?? -1) || one - two);
    return { root: first, head, members: [head, ...others], pairs: [head, ...others].filter((each) => duplicate[each]) };
  });
}

const MOST_PAIRS = 2000;

/** Return images that have a pair to judge, by how far their distance is from a radius: the most doubtful ones. */
function pairsNear(radius) {
  const off = (i) => Math.abs(images.distance[i] - radius);
  const known = [];
  for (let i = 0; i < imageCount; i += 1) if (images.nearest[i] >= 0 && images.distance[i] !== null) known.push(i);
  return known.sort((one, two) => off(one) - off(two) || one - two).slice(0, MOST_PAIRS);
}

/** How far from the radius a pair is called borderline. */
const borderline = (radius) => Math.max(0.01, radius * 0.05);

/** Return how many images of all, those that are not shown included, are within a radius, by the histogram. */
function withinOfAll(radius) {
  const { edges, counts } = report.histogram;
  let within = 0;
  counts.forEach((count, bin) => {
    const [low, high] = [edges[bin], edges[bin + 1]];
    if (high <= radius) within += count;
    else if (low < radius) within += (count * (radius - low)) / (high - low);
  });
  return within;
}

/** Return what all images come to at a radius; `exact` says whether it is counted or read off the histogram. */
function countsAt(state) {
  const { counts, sampled } = report;
  if (state.radius === report.radius) return { duplicate: counts.duplicate, unique: counts.unique, exact: true };
  if (!sampled) return { duplicate: state.duplicates, unique: ownCount - state.duplicates, exact: true };
  const moved = Math.round(withinOfAll(state.radius) - withinOfAll(report.radius));
  const duplicate = Math.max(0, Math.min(counts.images, counts.duplicate + moved));
  return { duplicate, unique: counts.images - duplicate, exact: false };
}
