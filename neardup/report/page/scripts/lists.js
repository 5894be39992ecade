// Lists of any length: a chunk of items is made when it comes near the screen, and let go when it is far from it.

const CHUNK = 40;
const AHEAD = "1200px 0px";

/**
 * Fill `place` with a list, of which only what is near the screen exists.
 *
 * `make(item, position)` returns what stands in the item's place; `estimatePx` is the height of one before any was seen.
 * Chunks that were seen keep their height when they are let go, so that nothing jumps.
 */
function lazyList(place, items, { make, estimatePx, label, empty }) {
  place.lazy?.disconnect();
  place.replaceChildren();
  if (!items.length) {
    place.append(h("p", { class: "muted empty" }, empty));
    return;
  }
  const chunkOf = new Map();
  const observer = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) (isIntersecting ? fill : letGo)(target);
  }, { rootMargin: AHEAD });
  const list = h("div", { class: "lazy", role: "list", "aria-label": label });
  for (let start = 0; start < items.length; start += CHUNK) {
    const chunk = h("div", { role: "presentation" });
    chunk.style.minHeight = `${Math.min(CHUNK, items.length - start) * estimatePx}px`;
    chunkOf.set(chunk, start);
    list.append(chunk);
  }
  place.append(list);
  place.lazy = observer;
  place.reveal = (position) => {
    const chunk = list.children[Math.floor(position / CHUNK)];
    if (!chunk) return null;
    fill(chunk);
    return chunk.children[position % CHUNK];
  };
  fill(list.firstChild);
  for (const chunk of list.children) observer.observe(chunk);

  function fill(chunk) {
    if (chunk.firstChild) return;
    const start = chunkOf.get(chunk);
    items.slice(start, start + CHUNK).forEach((item, i) => {
      const position = start + i;
      chunk.append(h("div", { class: "item", role: "listitem", "aria-setsize": items.length, "aria-posinset": position + 1 }, make(item, position)));
    });
    chunk.style.minHeight = "";
  }

  function letGo(chunk) {
    if (!chunk.firstChild || chunk.contains(document.activeElement)) return;
    chunk.style.minHeight = `${chunk.offsetHeight}px`;
    chunk.replaceChildren();
  }
}
