// Puts it all together, once.

function showMarked() {
  const all = [...marks.said.values()];
  const same = all.filter(([, , each]) => each).length;
  $("marked").textContent = all.length ? `${number(same)} same, ${number(all.length - same)} different` : "No marks yet";
  $("save").disabled = $("clear").disabled = !all.length;
  $("undo").disabled = !marks.earlier.length;
}

function undo() {
  say(marks.undo() ? "Undone." : "There is nothing to undo.");
}

function listenToMarks() {
  marks.listeners.push(showMarks, showMarked);
  $("save").addEventListener("click", () => {
    download("marked-pairs.csv", marks.csv());
    say("Saved as marked-pairs.csv, for neardup calibrate --pairs.");
  });
  $("load").addEventListener("change", async () => {
    const [file] = $("load").files;
    $("load").value = "";
    if (file) say(marks.load(await file.text()));
  });
  $("undo").addEventListener("click", undo);
  $("clear").addEventListener("click", () => {
    marks.change(() => marks.said.clear());
    say("All marks are gone; Undo brings them back.");
  });
}

function listenToTabs() {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  for (const tab of tabs) tab.addEventListener("click", () => page.open(tab.id.slice(4)));
  $("tabs").addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = tabs.indexOf(document.activeElement);
    const to = { Home: 0, End: tabs.length - 1 }[event.key] ?? (by ? (at + by + tabs.length) % tabs.length : -1);
    if (at < 0 || to < 0) return;
    event.preventDefault();
    tabs[to].focus();
    page.open(tabs[to].id.slice(4));
  });
  document.querySelector("#tab-clusters .count").textContent = number(report.clusters.length);
  document.querySelector("#tab-bad .count").textContent = number(report.counts.bad);
}

/** Light or dark, as the machine says until the button was used. */
function listenToTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const button = $("theme");
  const show = () => {
    const now = document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
    button.setAttribute("aria-pressed", now === "dark");
    recolour();
  };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = button.getAttribute("aria-pressed") === "true" ? "light" : "dark";
    show();
  });
  dark.addEventListener("change", show);
  show();
}

function listenToKeys() {
  $("keys-button").addEventListener("click", () => $("keys").showModal());
  $("keys-close").addEventListener("click", () => $("keys").close());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    if (event.key === "?" && !document.querySelector("dialog[open]")) $("keys").showModal();
    if (event.key === "z" && !$("keys").open) undo();
  });
}

showAbout();
showNotes();
marks.restore();
histogram.listen();
page.listen();
map.listen();
gallery.listen();
pairs.listen();
compare.listen();
listenToMarks();
listenToTabs();
listenToKeys();
for (const control of [$("order"), $("find")]) control.addEventListener("input", onceAFrame(() => gallery.draw(page.state)));
page.setRadius(report.radius);
page.draw();
page.open("groups");
showClusters();
showBad();
showMarked();
listenToTheme();
document.documentElement.dataset.ready = "yes";
