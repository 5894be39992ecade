// The summary, the clusters, and what could not be judged.

const CLUSTER_PX = 92;
const FILE_PX = 44;

function showAbout() {
  const { source } = report;
  const kinds = { folder: "Folder", bootstrap: "Seed set", topic: "Topic" };
  const parts = [`${kinds[source.kind] ?? source.kind} ${source.name}`, source.span, report.descriptor && `descriptor ${report.descriptor}`, whenMade()];
  $("about").textContent = parts.filter(Boolean).join(" \u00b7 ");
  $("version").textContent = report.version;
}

function whenMade() {
  const made = new Date(report.made);
  return Number.isNaN(made.valueOf()) ? report.made : made.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

function showNotes() {
  const notes = [...report.notes];
  if (report.sampled) {
    notes.unshift(`${number(report.sampled.shown)} of ${number(report.sampled.of)} images are shown here. The counts and the histogram are of all of them; groups, pairs and the map are of those shown.`);
  }
  $("notes").hidden = !notes.length;
  $("notes").replaceChildren(h("ul", {}, ...notes.map((note) => h("li", {}, note))));
}

/** Show the summary; of what changed with the radius, by how much. */
function showCards(state) {
  const now = countsAt(state);
  const near = borderline(state.radius);
  const doubtful = images.distance.filter((each, i) => each !== null && images.nearest[i] >= 0 && Math.abs(each - state.radius) <= near).length;
  const bytes = images.bytes.reduce((sum, each, i) => sum + (state.duplicate[i] && each > 0 ? each : 0), 0);
  const about = now.exact ? "" : "about ";
  const shown = report.sampled ? " shown" : "";
  const cards = [
    ["images", "Images", number(report.counts.images), ""],
    ["unique", "Unique", about + number(now.unique), change(now.unique - report.counts.unique)],
    ["duplicate", "Duplicates", about + number(now.duplicate), change(now.duplicate - report.counts.duplicate)],
    ["groups", `Groups${shown}`, number(state.groups.length), change(state.groups.length - page.first.groups.length)],
    ["doubtful", `Borderline${shown}`, number(doubtful), `\u00b1${near.toFixed(3)}`],
    ["bytes", `In duplicates${shown}`, bytes ? bytesText(bytes) : "", ""],
    ["bad", "Bad input", number(report.counts.bad), ""],
  ];
  $("cards").replaceChildren(
    ...cards.filter(([, , value]) => value !== "").map(([id, label, value, more]) => h("div", { class: `stat ${id}`, id: `count-${id}` }, h("dt", {}, label), h("dd", {}, h("span", { class: "value" }, value), h("span", { class: "muted small" }, more || "\u00a0")))),
  );
}

const change = (by) => (by ? `${by > 0 ? "+" : "\u2212"}${number(Math.abs(by))}` : "");

function showClusters() {
  lazyList($("clusters"), report.clusters, {
    make: clusterRow,
    estimatePx: CLUSTER_PX,
    label: "Clusters",
    empty: "There are no clusters in this report.",
  });
}

function clusterRow(cluster) {
  const onMap = images.cluster.includes(cluster.id) && map.placed.length > 0;
  const share = h("span", { class: "share", "aria-hidden": "true" }, h("span", { class: "part unique" }), h("span", { class: "part duplicate" }));
  share.firstChild.style.flexGrow = cluster.unique;
  share.lastChild.style.flexGrow = cluster.duplicate;
  return h(
    "div",
    { class: "card cluster" },
    h("span", { class: "small-frame" }, thumbnail(cluster.thumb, "", "no picture")),
    h("div", { class: "grow" }, h("h3", {}, `Cluster ${cluster.id}`), h("span", {}, `${plural(cluster.images, "image")}: ${number(cluster.unique)} unique, ${plural(cluster.duplicate, "duplicate")}`), share),
    onMap ? h("button", { type: "button", "aria-label": `Show cluster ${cluster.id} on the map`, onclick: () => showOnMap(cluster.id) }, "On the map") : null,
  );
}

function showOnMap(id) {
  page.open("map");
  map.show(String(id));
  $("map").focus();
}

function showBad() {
  if (!report.bad.length) $("panel-bad").append(h("p", { class: "muted empty" }, "Everything could be read."));
  for (const { reason, count, files } of report.bad) {
    const place = h("div", {});
    const details = h("details", { class: "card reason" }, h("summary", {}, h("strong", {}, reason), ` \u00b7 ${plural(count, "file")}`), place);
    if (files.length < count) details.append(h("p", { class: "muted" }, `${number(files.length)} of ${number(count)} are listed.`));
    details.addEventListener("toggle", () => {
      if (!details.open || place.firstChild) return;
      lazyList(place, files, { make: badFile, estimatePx: FILE_PX, label: `Files: ${reason}`, empty: "Their names were not kept." });
    });
    if (report.bad.length === 1 || files.length <= 10) details.open = true;
    $("panel-bad").append(details);
  }
}

const badFile = ({ name, detail }) => h("div", { class: "bad-file" }, nameElement(name), h("span", { class: "muted small" }, detail));
