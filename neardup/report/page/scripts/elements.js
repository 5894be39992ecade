// Elements, numbers and words. Text goes into the page as text nodes only: nothing here parses HTML.

const $ = (id) => document.getElementById(id);

/** Make an element: attributes by name, `on...` handlers, `class`, `data-...`; children are elements or text. */
function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...present(children));
  return made;
}

const present = (children) => children.filter((child) => child !== null && child !== undefined);

const SVG = "http://www.w3.org/2000/svg";

/** Make an SVG element. */
function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

const whole = new Intl.NumberFormat("en");
const number = (value) => whole.format(value);
const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
const distanceText = (value) => (value === null || !Number.isFinite(value) ? "unknown" : value.toFixed(3));

/** Return bytes in the unit that suits them. */
function bytesText(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  for (; bytes >= 1000 && power < units.length - 1; power += 1) bytes /= 1000;
  return `${power && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${units[power]}`;
}

/** Return a name as an element: the folder is muted, and the direction of its letters stays its own business. */
function nameElement(name) {
  const cut = name.lastIndexOf("/") + 1;
  return h("span", { class: "name", title: name }, cut ? h("bdi", { class: "folder" }, name.slice(0, cut)) : null, h("bdi", {}, name.slice(cut)));
}

/** Tell it below the tabs, where screen readers listen; in the dialog, when that is open, since all else is then mute. */
function say(text) {
  $("said").textContent = text;
  $("compare-said").textContent = $("compare").open ? text : "";
}

/** Return a function that runs `action` once before the next frame, however often it is called. */
function onceAFrame(action) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      action();
    });
  };
}

/** Return a colour of the style as the browser computes it, for what is drawn on a canvas. */
function colour(name) {
  const probe = h("span", {});
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const computed = getComputedStyle(probe).color;
  probe.remove();
  return computed;
}

/** Offer a text as a file. */
function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
