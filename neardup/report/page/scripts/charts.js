// What both charts share: the colours of the style, and a canvas that follows its place.

const charts = [];

/** Return a chart in a place; it is drawn anew when the colours change, and follows the width of its place. */
function chartIn(place, draw) {
  const chart = echarts.init(place, null, { renderer: "canvas" });
  new ResizeObserver(onceAFrame(() => place.clientWidth && chart.resize())).observe(place);
  charts.push(draw);
  return chart;
}

/** Return the option parts of an axis of numbers, in the colours of now. */
function axis(rest = {}) {
  return {
    type: "value",
    axisLine: { lineStyle: { color: colour("line") } },
    axisLabel: { color: colour("muted") },
    splitLine: { lineStyle: { color: colour("line") } },
    nameTextStyle: { color: colour("muted") },
    ...rest,
  };
}

function recolour() {
  for (const draw of charts) draw();
}
