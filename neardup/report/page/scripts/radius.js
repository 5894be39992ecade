// The radius: its slider, its number, and what follows from it.

const STEP_OF_RADIUS = 0.001;
const MANY_IMAGES = 5000;
const REST_MS = 150;

const page = {
  state: null,
  first: null,

  /** The radius as it is written on a command line: that of the run with all its digits, another one as it was chosen. */
  radiusText() {
    return String(this.state.radius);
  },

  setRadius(radius) {
    if (!Number.isFinite(radius)) return;
    const within = Math.min(Math.max(radius, 0), furthest);
    // What cannot be told apart on the slider is the radius of the run itself.
    const chosen = Math.abs(within - report.radius) < STEP_OF_RADIUS / 2 ? report.radius : Number(within.toFixed(4));
    if (this.state && chosen === this.state.radius) return;
    this.state = groupsAt(chosen);
    this.first ??= this.state;
    this.drawSoon();
  },

  /** Show all that follows from the radius; of the tabs only the one that is open. */
  draw() {
    const { state } = this;
    $("slider").value = state.radius;
    $("slider").setAttribute("aria-valuetext", `${state.radius.toFixed(3)}`);
    if (document.activeElement !== $("number")) $("number").value = this.shortRadius();
    $("setting").textContent = `${report.setting} ${this.radiusText()}`;
    $("reset").disabled = state.radius === report.radius;
    showCards(state);
    this.showLive();
    histogram.draw();
    // While a slider moves over many images, what is below waits until it rests.
    clearTimeout(this.waiting);
    if (imageCount > MANY_IMAGES) this.waiting = setTimeout(() => this.drawTab(), REST_MS);
    else this.drawTab();
  },

  shortRadius() {
    return String(Number(this.state.radius.toFixed(4)));
  },

  showLive() {
    const now = countsAt(this.state);
    const about = now.exact ? "" : "about ";
    $("live").textContent = `${about}${plural(now.duplicate, "duplicate")}, ${number(now.unique)} unique, ${plural(this.state.groups.length, "group")}${report.sampled ? " shown" : ""}`;
    document.querySelector("#tab-groups .count").textContent = number(this.state.groups.length);
    document.querySelector("#tab-pairs .count").textContent = number(Number($("count-doubtful").querySelector(".value").textContent.replaceAll(",", "")));
  },

  drawTab() {
    if (!$("panel-groups").hidden) gallery.draw(this.state);
    if (!$("panel-pairs").hidden) pairs.draw(this.state);
    if (!$("panel-map").hidden) map.follow();
  },

  /** Open a tab by its name. */
  open(name) {
    for (const tab of document.querySelectorAll("[role=tab]")) {
      const chosen = tab.id === `tab-${name}`;
      tab.setAttribute("aria-selected", chosen);
      tab.tabIndex = chosen ? 0 : -1;
      $(tab.getAttribute("aria-controls")).hidden = !chosen;
    }
    if (name === "map") map.open();
    else this.drawTab();
  },

  async copy() {
    const text = $("setting").textContent;
    try {
      await navigator.clipboard.writeText(text);
      say(`Copied: ${text}`);
    } catch {
      // A browser that gives pages of files no clipboard: the text is selected, for Ctrl+C.
      getSelection().selectAllChildren($("setting"));
      say("Selected: copy it with Ctrl+C.");
    }
  },

  listen() {
    this.drawSoon = onceAFrame(() => this.draw());
    const slider = $("slider");
    for (const input of [slider, $("number")]) Object.assign(input, { max: furthest, step: "any" });
    slider.step = STEP_OF_RADIUS;
    $("number").step = STEP_OF_RADIUS;
    slider.addEventListener("input", () => this.setRadius(slider.valueAsNumber));
    slider.addEventListener("change", () => say($("live").textContent));
    $("number").addEventListener("input", () => this.setRadius($("number").valueAsNumber));
    $("number").addEventListener("change", () => {
      $("number").value = this.shortRadius();
      say($("live").textContent);
    });
    $("reset").addEventListener("click", () => this.setRadius(report.radius));
    $("copy").addEventListener("click", () => this.copy());
  },
};

const furthest = Math.max(report.furthest, report.radius);
