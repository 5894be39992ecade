// How many images have which distance, with the radius as a line.

const GRID = { left: 56, right: 20, top: 18, bottom: 30 }; // the slider below is as wide: see --grid-left in the style

const histogram = {
  get any() {
    return report.histogram.counts.some((count) => count > 0);
  },

  draw() {
    if (!this.chart) return;
    const log = $("log").checked;
    this.chart.setOption(
      {
        animation: false,
        grid: GRID,
        tooltip: { trigger: "axis", renderMode: "richText", formatter: (points) => this.tip(points[0].value[0]), axisPointer: { lineStyle: { color: colour("muted") } } },
        xAxis: axis({ min: 0, max: report.furthest, splitLine: { show: false }, axisLabel: { color: colour("muted"), showMaxLabel: false }, name: "distance", nameLocation: "middle", nameGap: 18 }),
        yAxis: axis(log ? { type: "log", min: 0.5, axisLabel: { color: colour("muted"), formatter: (value) => (value < 1 ? "" : number(value)) } } : { minInterval: 1 }),
        series: [this.series("duplicate", true), this.series("unique", false)],
      },
      { notMerge: true },
    );
    this.place.setAttribute("aria-label", this.described());
  },

  /** The counts on one side of the radius, as steps; where it cuts a bin, the bin is cut. */
  series(name, within) {
    const { edges, counts } = report.histogram;
    const radius = page.state.radius;
    const least = $("log").checked ? 0.5 : 0;
    const points = [];
    let end = null;
    counts.forEach((count, bin) => {
      const low = within ? edges[bin] : Math.max(edges[bin], radius);
      const high = within ? Math.min(edges[bin + 1], radius) : edges[bin + 1];
      if (low < high) points.push([low, Math.max(count, least)]);
      if (low < high) end = [high, Math.max(count, least)];
    });
    if (end) points.push(end);
    const line = { symbol: "none", silent: true, animation: false, lineStyle: { color: colour("ink"), width: 2, type: "solid" }, label: { formatter: "radius", color: colour("ink"), position: "end" }, data: [{ xAxis: radius }] };
    return {
      name,
      type: "line",
      data: points,
      step: "end",
      showSymbol: false,
      lineStyle: { width: 1, color: colour(name) },
      itemStyle: { color: colour(name) },
      areaStyle: { color: colour(name), opacity: 0.55, origin: "start" },
      markLine: within ? line : undefined,
    };
  },

  bin(distance) {
    const { edges } = report.histogram;
    const above = edges.findIndex((edge) => edge > distance);
    return above < 0 ? edges.length - 2 : Math.max(0, above - 1);
  },

  tip(distance) {
    const { edges, counts } = report.histogram;
    const bin = this.bin(distance);
    return `${edges[bin].toFixed(3)} to ${edges[bin + 1].toFixed(3)}\n${plural(counts[bin], "image")}`;
  },

  described() {
    const within = withinOfAll(page.state.radius);
    const { beyond } = report.histogram;
    return `Histogram of distances: about ${number(Math.round(within))} images within the radius ${page.radiusText()}${beyond ? `, ${number(beyond)} further than ${report.furthest} from all others` : ""}.`;
  },

  table() {
    const { edges, counts, beyond } = report.histogram;
    const rows = counts.map((count, bin) => h("tr", {}, h("th", { scope: "row" }, `${edges[bin].toFixed(3)} to ${edges[bin + 1].toFixed(3)}`), h("td", {}, number(count))));
    if (beyond) rows.push(h("tr", {}, h("th", { scope: "row" }, `beyond ${edges.at(-1).toFixed(3)}, or unknown`), h("td", {}, number(beyond))));
    $("histogram-table").replaceChildren(h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "distance"), h("th", { scope: "col" }, "images"))), h("tbody", {}, ...rows));
  },

  listen() {
    this.place = $("histogram");
    $("no-histogram").hidden = this.any;
    if (!this.any) {
      for (const each of [this.place, $("histogram-details"), $("log").parentElement]) each.hidden = true;
      return;
    }
    this.chart = chartIn(this.place, () => this.draw());
    this.table();
    $("log").addEventListener("change", () => this.draw());
    // A click moves the radius there.
    this.chart.getZr().on("click", (event) => {
      if (!this.chart.containPixel("grid", [event.offsetX, event.offsetY])) return;
      page.setRadius(Number(this.chart.convertFromPixel({ xAxisIndex: 0 }, event.offsetX).toFixed(3)));
    });
  },
};
