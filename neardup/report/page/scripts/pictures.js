// Images as they are shown, and the tiles of the gallery.

/** Return an image's thumbnail, or a frame that says that there is none. */
function picture(i, alt = "") {
  const thumb = i < 0 ? -1 : images.thumb[i];
  return thumbnail(thumb, alt, i < 0 ? "not in this report" : "no picture");
}

function thumbnail(thumb, alt, without) {
  if (thumb < 0) return h("span", { class: "no-picture" }, without);
  return h("img", { src: `data:${report.thumb_type};base64,${report.thumbs[thumb]}`, alt, decoding: "async", draggable: "false" });
}

const sizeText = (i) =>
  [images.width[i] > 0 ? `${images.width[i]}\u00d7${images.height[i]}` : "", images.bytes[i] > 0 ? bytesText(images.bytes[i]) : ""].filter(Boolean).join(", ");

const MARKS = { true: "marked same", false: "marked different", undefined: "" };
const markClass = (mark) => (mark === undefined ? "" : mark ? "is-same" : "is-different");

/** Put the mark of its pair on a tile or a row: as a colour, and in words. */
function showMark(element) {
  const mark = element.dataset.pair === undefined ? undefined : marks.of(Number(element.dataset.pair));
  element.classList.remove("is-same", "is-different");
  if (mark !== undefined) element.classList.add(markClass(mark));
  element.querySelector(".mark").textContent = MARKS[mark];
}

/**
 * Return the tile of an image: a button that opens the comparison of its pair.
 *
 * A tile whose image has a pair to judge carries its index as `data-pair`. The image that the others duplicate has none
 * in its group: what is nearest to it lies in another one.
 */
function tile(i, { kept, duplicate, via, open }) {
  const told = !kept && duplicate;
  const made = h(
    "button",
    { type: "button", class: kept ? "tile kept" : "tile", "data-image": i, "data-pair": told && images.nearest[i] >= 0 ? i : null, onclick: open },
    h("span", { class: "frame" }, picture(i)),
    h("span", { class: "badge" }, isOutside(i) ? "there before" : kept ? "keep" : duplicate ? distanceText(images.distance[i]) : "unique"),
    h("span", { class: "mark" }),
    nameElement(images.name[i]),
    h("span", { class: "muted small done", title: told ? images.done[i] : null }, [told ? images.done[i] : "", sizeText(i)].filter(Boolean).join(" \u00b7 ") || "\u00a0"),
    via === undefined ? null : h("span", { class: "muted small" }, "by way of ", nameElement(images.name[via])),
  );
  showMark(made);
  return made;
}

/** Let marks show wherever their pairs are on the page. */
function showMarks() {
  for (const element of document.querySelectorAll("[data-pair]")) showMark(element);
}

/** Mark the pair of the tile or row that has the focus, by a key; return whether the key was one of these. */
function markByKey(key, pair) {
  const same = { s: true, d: false, u: undefined };
  if (!(key in same)) return false;
  marks.set([pair], same[key]);
  say(MARKS[same[key]] ? `${images.name[pair]}: ${MARKS[same[key]]}` : `${images.name[pair]}: no mark`);
  return true;
}
