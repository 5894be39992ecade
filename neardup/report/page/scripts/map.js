// The map of clusters: each image a dot, near those that look like it.

const COLOURS = 10; // --c0 to --c9 in the style; clusters share them in turn
const NEAR_PX = 16; // how near a pointer has to be to a dot
const MANY_PX = 3.6; // below 4, ECharts fills squares rather than circles, several times as fast
const STEP = 1.5;

const map = {
  placed: [],
  at: -1,

  /** The images that are shown now: all that have a place, or those of one cluster. */
  get reachable() {
    const only = $("only").value;
    return only === "" ? this.placed : this.placed.filter((i) => String(images.cluster[i]) === only);
  },

  draw() {
    if (!this.chart || $("panel-map").hidden) return;
    const bare = { axisLine: { show: false }, axisLabel: { show: false }, axisTick: { show: false }, splitLine: { show: false } };
    const window = this.window ?? [{ start: 0, end: 100 }, { start: 0, end: 100 }];
    this.chart.setOption(
      {
        animation: false,
        grid: { left: 12, right: 12, top: 12, bottom: 12 },
        xAxis: axis({ ...bare, ...this.extent(images.x) }),
        yAxis: axis({ ...bare, ...this.extent(images.y) }),
        dataZoom: [
          { type: "inside", xAxisIndex: 0, filterMode: "none", minSpan: 0.2, ...window[0] },
          { type: "inside", yAxisIndex: 0, filterMode: "none", minSpan: 0.2, ...window[1] },
        ],
        series: this.series(),
      },
      { notMerge: true },
    );
    this.drawRing();
  },

  extent(values) {
    const placed = this.placed.map((i) => values[i]);
    const low = placed.reduce((one, two) => Math.min(one, two), Infinity);
    const high = placed.reduce((one, two) => Math.max(one, two), -Infinity);
    const room = (high - low) * 0.03 || 1;
    return { min: low - room, max: high + room };
  },

  /** One series for each colour: a large one draws all its dots alike, and that is what makes it fast. */
  series() {
    const only = $("only").value;
    const byVerdict = $("colour").value === "verdict";
    const parts = new Map();
    for (const i of this.placed) {
      let name = byVerdict ? (page.state.duplicate[i] ? "duplicate" : "unique") : images.cluster[i] < 0 ? "muted" : `c${images.cluster[i] % COLOURS}`;
      if (only !== "" && String(images.cluster[i]) !== only) name = "line";
      if (!parts.has(name)) parts.set(name, []);
      parts.get(name).push(images.x[i], images.y[i]);
    }
    this.showLegend(byVerdict);
    const few = this.placed.length < 3000;
    return [...parts].sort(([one], [two]) => (two === "line") - (one === "line")).map(([name, values]) => ({
      type: "scatter",
      large: true,
      largeThreshold: 1000,
      symbolSize: few ? 8 : MANY_PX,
      silent: true,
      dimensions: ["x", "y"],
      data: Float32Array.from(values),
      itemStyle: { color: colour(name), opacity: 0.8 },
    }));
  },

  showLegend(byVerdict) {
    const entry = (name) => h("span", {}, h("span", { class: `dot ${name}`, "aria-hidden": "true" }), ` ${name}`);
    $("legend").replaceChildren(...(byVerdict ? [entry("unique"), entry("duplicate")] : []));
  },

  pixel(i) {
    return this.chart.convertToPixel({ xAxisIndex: 0, yAxisIndex: 0 }, [images.x[i], images.y[i]]);
  },

  /** Return the image whose dot is nearest to a place on the canvas, -1 if none is near. */
  nearest(x, y) {
    const [low, high] = [this.chart.convertFromPixel({ xAxisIndex: 0, yAxisIndex: 0 }, [0, 0]), this.chart.convertFromPixel({ xAxisIndex: 0, yAxisIndex: 0 }, [1000, 1000])];
    const scale = [1000 / (high[0] - low[0]), 1000 / (high[1] - low[1])];
    let [best, found] = [NEAR_PX ** 2, -1];
    for (const i of this.reachable) {
      const off = ((images.x[i] - low[0]) * scale[0] - x) ** 2 + ((images.y[i] - low[1]) * scale[1] - y) ** 2;
      if (off < best) [best, found] = [off, i];
    }
    return found;
  },

  point(i) {
    if (i === this.at) return;
    this.at = i;
    this.drawRing();
    if (i < 0) return;
    const other = images.nearest[i];
    $("point").replaceChildren(...present([
      h("span", { class: "whole" }, picture(i, images.name[i])),
      nameElement(images.name[i]),
      h("span", { class: "small" }, page.state.duplicate[i] ? "duplicate" : "unique", images.cluster[i] < 0 ? "" : `, cluster ${images.cluster[i]}`),
      h("span", { class: "muted small" }, [sizeText(i), images.done[i]].filter(Boolean).join(" \u00b7 ")),
      other < 0 ? null : h("button", { type: "button", onclick: () => compare.open([i]) }, `Compare with the nearest, at ${distanceText(images.distance[i])}`),
    ]));
  },

  /** A ring around the dot that is pointed at, on a canvas of its own: the dots need not be drawn again. */
  drawRing() {
    const zr = this.chart.getZr();
    if (this.ring) zr.remove(this.ring);
    this.ring = null;
    if (this.at < 0) return;
    const [cx, cy] = this.pixel(this.at);
    this.ring = new echarts.graphic.Circle({ shape: { cx, cy, r: 8 }, style: { fill: null, stroke: colour("ink"), lineWidth: 2 }, zlevel: 1, silent: true });
    zr.add(this.ring);
  },

  windowNow() {
    return this.chart.getOption().dataZoom.map(({ start, end }) => ({ start, end }));
  },

  zoom(by) {
    this.window = this.windowNow().map(({ start, end }) => {
      const half = Math.min(100, (end - start) / by) / 2;
      const middle = Math.min(100 - half, Math.max(half, (start + end) / 2));
      return { start: middle - half, end: middle + half };
    });
    this.window.forEach(({ start, end }, dataZoomIndex) => this.chart.dispatchAction({ type: "dataZoom", dataZoomIndex, start, end }));
    this.drawRing();
  },

  zoomAll() {
    this.window = null;
    for (const dataZoomIndex of [0, 1]) this.chart.dispatchAction({ type: "dataZoom", dataZoomIndex, start: 0, end: 100 });
    this.drawRing();
  },

  step(by) {
    const all = this.reachable;
    if (all.length) this.point(all[(all.indexOf(this.at) + by + all.length) % all.length]);
  },

  /** Show one cluster, by its number; all of them for an empty text. */
  show(cluster) {
    $("only").value = cluster;
    this.at = -1;
    $("point").replaceChildren(h("span", { class: "muted" }, "Point at a dot."));
    this.draw();
  },

  nextCluster(by) {
    const options = $("only").options;
    this.show(options[(options.selectedIndex + by + options.length) % options.length].value);
    this.step(1);
  },

  keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const action = {
      ArrowRight: () => this.step(1),
      ArrowLeft: () => this.step(-1),
      ArrowDown: () => this.nextCluster(1),
      ArrowUp: () => this.nextCluster(-1),
      "+": () => this.zoom(STEP),
      "-": () => this.zoom(1 / STEP),
      Enter: () => this.at >= 0 && images.nearest[this.at] >= 0 && compare.open([this.at]),
    }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  },

  listen() {
    for (let i = 0; i < imageCount; i += 1) if (images.x[i] !== null && images.y[i] !== null) this.placed.push(i);
    if (!this.placed.length) {
      $("panel-map").replaceChildren(h("p", { class: "muted empty" }, "This report has no map: no image has a place on it."));
      return;
    }
    const clusters = [...new Set(this.placed.map((i) => images.cluster[i]))].sort((one, two) => one - two);
    $("only").replaceChildren(h("option", { value: "" }, "all clusters"), ...clusters.map((id) => h("option", { value: id }, id < 0 ? "no cluster" : `cluster ${id}`)));
    if (clusters.length < 2) $("colour").value = "verdict";
    $("only").addEventListener("change", () => this.show($("only").value));
    $("colour").addEventListener("change", () => this.draw());
    $("zoom-in").addEventListener("click", () => this.zoom(STEP));
    $("zoom-out").addEventListener("click", () => this.zoom(1 / STEP));
    $("zoom-all").addEventListener("click", () => this.zoomAll());
    $("map").addEventListener("keydown", (event) => this.keys(event));
  },

  /** Follow the radius: only the colours of verdicts depend on it, and what is told of the image pointed at. */
  follow() {
    if (!this.placed.length) return;
    if ($("colour").value === "verdict") this.draw();
    const at = this.at;
    this.at = -1;
    if (at >= 0) this.point(at);
  },

  /** Make the chart the first time that its tab is shown: a canvas needs a place that has a width. */
  open() {
    if (!this.placed.length) return;
    if (!this.chart) {
      this.chart = chartIn($("map"), () => this.draw());
      const zr = this.chart.getZr();
      const follow = onceAFrame(() => this.point(this.nearest(...this.pointer)));
      zr.on("mousemove", (event) => {
        this.pointer = [event.offsetX, event.offsetY];
        follow();
      });
      zr.on("click", (event) => this.point(this.nearest(event.offsetX, event.offsetY)));
      this.chart.on("datazoom", () => {
        this.window = this.windowNow();
        this.drawRing();
      });
      this.chart.on("finished", () => $("map").setAttribute("data-drawn", this.placed.length));
      new ResizeObserver(onceAFrame(() => this.drawRing())).observe($("map"));
      this.show("");
    }
    this.draw();
  },
};
