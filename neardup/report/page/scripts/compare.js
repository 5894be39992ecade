// Two images beside each other, in turns, or as their difference; and what a person says of them.

const SWITCH_MS = 600; // twice what could trouble anyone: three flashes a second are the most that is safe
const NO_PICTURE = "One of the two has no picture here, so they can only be named.";

const compare = {
  pairs: [],
  at: 0,
  mode: "beside",
  timer: 0,
  playing: !matchMedia("(prefers-reduced-motion: reduce)").matches,

  /** Open the comparison of a pair, which is one of several to step through; pairs are named by the image compared. */
  open(pairs, at = 0) {
    this.pairs = pairs;
    this.back = document.activeElement;
    if (!$("compare").open) $("compare").showModal();
    this.show(at);
  },

  get pair() {
    return this.pairs[this.at];
  },

  show(at) {
    this.at = at;
    $("compare-title").textContent = this.pairs.length > 1 ? `Pair ${number(at + 1)} of ${number(this.pairs.length)}` : "A pair";
    $("previous").disabled = at === 0;
    $("next").disabled = at === this.pairs.length - 1;
    this.draw();
    this.showMark();
  },

  step(by) {
    const to = this.at + by;
    if (to >= 0 && to < this.pairs.length) this.show(to);
  },

  mark(same) {
    marks.set([this.pair], same);
    const told = MARKS[same] ? `Pair ${number(this.at + 1)} ${MARKS[same]}.` : "No mark.";
    const last = this.at === this.pairs.length - 1;
    if (same !== undefined && $("advance").checked) this.step(1);
    say(last && same !== undefined ? `${told} That was the last one.` : told);
  },

  showMark() {
    const mark = marks.of(this.pair);
    $("same").setAttribute("aria-pressed", mark === true);
    $("different").setAttribute("aria-pressed", mark === false);
    $("unmark").disabled = mark === undefined;
  },

  setMode(mode) {
    this.mode = mode;
    for (const button of document.querySelectorAll("[data-mode]")) button.setAttribute("aria-pressed", button.dataset.mode === mode);
    this.draw();
  },

  draw() {
    clearInterval(this.timer);
    const i = this.pair;
    const other = images.nearest[i];
    const pictured = images.thumb[i] >= 0 && images.thumb[other] >= 0;
    const mode = pictured ? this.mode : "beside";
    $("flicker-tools").hidden = mode !== "flicker";
    $("difference-tools").hidden = mode !== "difference";
    $("outline-tools").hidden = mode !== "beside" || !(images.outline[i] || images.nearest_outline[i]);
    $("stage").className = mode;
    $("stage").replaceChildren(...(mode === "beside" ? this.beside(i, other) : this.over(i, other, mode)));
    const told = [`Distance ${distanceText(images.distance[i])}`, images.done[i], pictured ? "" : NO_PICTURE];
    $("stage-note").textContent = told.filter(Boolean).join(" \u00b7 ");
    if (mode !== "beside") this.fit();
    if (mode === "flicker") this.play(this.playing);
  },

  beside(i, other) {
    const outlined = $("outlines").checked;
    return [
      this.figure(other, outlined && images.nearest_outline[i], "compared with"),
      this.figure(i, outlined && images.outline[i], duplicateFrom[i] <= page.state.radius ? "duplicate" : "unique"),
    ];
  },

  figure(i, part, role) {
    const frame = h("span", { class: "whole" }, picture(i, `${role}: ${images.name[i]}`));
    if (part && images.thumb[i] >= 0) frame.append(outlineOf(part));
    const caption = h("figcaption", {}, h("span", { class: "muted small" }, role), nameElement(images.name[i]), h("span", { class: "muted small" }, sizeText(i)));
    return h("figure", {}, frame, caption);
  },

  /** The compared image laid on the one that it was compared with, in the frame of the latter. */
  over(i, other, mode) {
    const under = h("span", { class: "layer" }, picture(other, `compared with: ${images.name[other]}`));
    const above = h("span", { class: "layer above" }, picture(i, `compared: ${images.name[i]}`));
    const both = h("span", { class: "both" }, under, above);
    // Both are cut in one, a little inside: the soft edges of two would not quite meet, and shine.
    if (mode === "difference") cutTo(both, shrunk(images.nearest_outline[i] ?? WHOLE));
    else cutTo(above, images.outline[i]);
    both.style.filter = mode === "difference" ? `brightness(${$("gain").value})` : "";
    return [h("span", { class: "frame-over" }, both), h("p", { id: "shown", class: "muted" })];
  },

  /** Size the frame as the image below is, as large as there is room, and lay the other on it. */
  fit() {
    const frame = document.querySelector(".frame-over");
    if (!frame) return;
    const other = images.nearest[this.pair];
    const ratio = images.width[other] > 0 && images.height[other] > 0 ? images.width[other] / images.height[other] : this.ratioOf(frame);
    const width = Math.min($("stage").clientWidth, 640, innerHeight * 0.52 * ratio);
    frame.style.width = `${width}px`;
    frame.style.height = `${width / ratio}px`;
    const above = frame.querySelector(".above");
    layOver(above, images.outline[this.pair] ?? WHOLE, images.nearest_outline[this.pair] ?? WHOLE, width, width / ratio);
  },

  ratioOf(frame) {
    const img = frame.querySelector("img");
    if (!img.complete) img.addEventListener("load", () => this.fit(), { once: true });
    return img.naturalWidth > 0 ? img.naturalWidth / img.naturalHeight : 4 / 3;
  },

  play(playing) {
    clearInterval(this.timer);
    this.playing = playing;
    $("pause").textContent = playing ? "Pause" : "Play";
    this.swap(false);
    if (playing) this.timer = setInterval(() => this.swap(), SWITCH_MS);
  },

  /** Show the other image of the two. */
  swap(above = document.querySelector(".above")?.classList.contains("away")) {
    const layer = document.querySelector("#stage .above");
    if (!layer) return;
    layer.classList.toggle("away", !above);
    const i = this.pair;
    $("shown").replaceChildren("Shown: ", nameElement(images.name[above ? i : images.nearest[i]]));
  },

  swapByHand() {
    clearInterval(this.timer);
    this.playing = false;
    $("pause").textContent = "Play";
    this.swap();
  },

  keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inField = event.target.matches("input[type=range]");
    const action = {
      s: () => this.mark(true),
      d: () => this.mark(false),
      u: () => this.mark(undefined),
      b: () => this.setMode("beside"),
      f: () => this.setMode("flicker"),
      x: () => this.setMode("difference"),
      z: () => undo(),
      ArrowLeft: inField ? null : () => this.step(-1),
      ArrowRight: inField ? null : () => this.step(1),
      " ": this.mode === "flicker" && !event.target.matches("button, input") ? () => this.swapByHand() : null,
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  },

  listen() {
    const dialog = $("compare");
    dialog.addEventListener("keydown", (event) => this.keys(event));
    dialog.addEventListener("close", () => {
      clearInterval(this.timer);
      $("stage").replaceChildren();
      if (this.back?.isConnected) this.back.focus();
    });
    for (const button of document.querySelectorAll("[data-mode]")) button.addEventListener("click", () => this.setMode(button.dataset.mode));
    $("close").addEventListener("click", () => dialog.close());
    $("previous").addEventListener("click", () => this.step(-1));
    $("next").addEventListener("click", () => this.step(1));
    $("same").addEventListener("click", () => this.mark(true));
    $("different").addEventListener("click", () => this.mark(false));
    $("unmark").addEventListener("click", () => this.mark(undefined));
    $("pause").addEventListener("click", () => this.play(!this.playing));
    $("swap").addEventListener("click", () => this.swapByHand());
    $("outlines").addEventListener("change", () => this.draw());
    $("gain").addEventListener("input", () => {
      document.querySelector("#stage .both").style.filter = `brightness(${$("gain").value})`;
    });
    addEventListener("resize", () => this.fit());
    marks.listeners.push(() => dialog.open && this.showMark());
  },
};
