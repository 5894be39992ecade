"use strict";
// Everything that comes from a message is put in as text, never as markup.

const at = (id) => document.getElementById(id);
const cards = new Map(); // by the number of their pair
let paused = false;
let latest = null;

function made(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function write(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}

function say(text, away) {
  write("state", text);
  at("state").classList.toggle("away", away);
}

const number = (count) => count.toLocaleString("en");

function showFigures(seen) {
  write("title", seen.title);
  write("rate-name", `a second, of the last ${seen.rate_seconds} s`);
  write("rate", seen.rate.toFixed(1));
  write("lag", seen.lag);
  at("lag").classList.toggle("words", !/^[\d,]+$/.test(seen.lag));
  const mix = [["unique", seen.unique], ["duplicate", seen.duplicate], ["dead", seen.dead]];
  for (const [name, count] of mix) write(name, number(count));
  write("unreadable", seen.unreadable ? ` ${number(seen.unreadable)} records were no verdict and no dead letter.` : "");
  showMix(mix);
  showHistory(seen.history);
}

function showMix(mix) {
  const all = mix.reduce((sum, [, count]) => sum + count, 0);
  if (!all) return;
  const words = { unique: "unique", duplicate: "duplicates", dead: "dead letters" };
  at("mix").setAttribute("aria-label", mix.map(([name, count]) => `${Math.round((100 * count) / all)} % ${words[name]}`).join(", "));
  at("mix").replaceChildren(...mix.map(([name, count]) => {
    const part = made("span", name);
    part.style.flexGrow = count;
    return part;
  }));
}

function showHistory(history) {
  const picture = at("history");
  const highest = Math.max(1, ...history);
  picture.setAttribute("viewBox", `0 0 ${history.length} 100`);
  picture.setAttribute("aria-label", `${number(history.reduce((sum, count) => sum + count, 0))} in the last minute, at most ${number(Math.max(0, ...history))} in one second`);
  picture.replaceChildren(...history.map((count, second) => {
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const height = (100 * count) / highest;
    for (const [name, value] of Object.entries({ x: second + 0.1, y: 100 - height, width: 0.8, height })) bar.setAttribute(name, value);
    return bar;
  }));
}

function showPairs(pairs) {
  at("none").hidden = pairs.length > 0;
  const wanted = new Set(pairs.map((pair) => pair.number));
  for (const [key, card] of cards) {
    if (wanted.has(key)) continue;
    for (const image of card.querySelectorAll("img")) URL.revokeObjectURL(image.src);
    card.remove();
    cards.delete(key);
  }
  for (const pair of [...pairs].reverse()) {
    if (cards.has(pair.number)) continue;
    const card = cardOf(pair);
    cards.set(pair.number, card);
    at("pairs").prepend(card);
  }
}

function cardOf(pair) {
  const card = made("li", "new");
  const two = made("div", "two");
  two.append(figureOf(pair, "image", "this image", pair.image), figureOf(pair, "member", "is a duplicate of", pair.member));
  const distance = pair.distance === null ? "no distance" : `distance ${pair.distance.toFixed(3)} of at most ${Number(pair.radius.toPrecision(3))}`;
  const share = made("div", "share");
  const filled = made("span");
  filled.style.width = `${Math.min(100, (100 * (pair.distance ?? 0)) / (pair.radius || 1))}%`;
  share.append(filled);
  card.append(two, made("p", "what", pair.done ? `${distance}: ${pair.done}` : distance), share);
  return card;
}

function figureOf(pair, side, role, name) {
  const figure = made("figure");
  const frame = made("div", "frame");
  const caption = made("figcaption");
  caption.append(made("b", "", role), made("span", "", name));
  figure.append(frame, caption);
  fetchPicture(frame, caption, `/pictures/${pair.number}/${side}`, name);
  return figure;
}

async function fetchPicture(frame, caption, url, name) {
  try {
    const answer = await fetch(url);
    if (answer.headers.get("Content-Type") !== "image/jpeg") {
      frame.append(made("p", "", `No picture: ${await answer.text()}`));
      return;
    }
    const link = made("a");
    link.target = "_blank";
    link.rel = "noopener";
    const image = made("img");
    image.alt = name;
    const blob = await answer.blob();
    if (!frame.isConnected) return; // its card has gone meanwhile: nobody would let go of the picture
    image.src = URL.createObjectURL(blob);
    link.href = image.src; // the server forgets the picture before a paused page does
    link.append(image);
    frame.append(link);
    const note = answer.headers.get("Neardup-Note");
    if (note) caption.append(made("b", "", note));
  } catch {
    frame.append(made("p", "", "No picture: the watch has ended"));
  }
}

function showLetters(seen) {
  at("letters-part").hidden = !seen.letters.length && !seen.reasons.length;
  at("reasons").replaceChildren(...seen.reasons.map(({ reason, count }) => made("li", "", `${number(count)} ${reason}`)));
  at("letters").replaceChildren(...seen.letters.map((letter) => {
    const row = made("tr");
    row.append(...[letter.name, letter.reason, letter.detail].map((text) => made("td", "", text)));
    return row;
  }));
}

function show() {
  if (latest === null) return;
  showFigures(latest);
  if (paused) return;
  showPairs(latest.pairs);
  showLetters(latest);
}

function pause() {
  paused = !paused;
  at("pause").setAttribute("aria-pressed", String(paused));
  show();
}

at("pause").addEventListener("click", pause);
document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() === "p" && !event.ctrlKey && !event.metaKey && !event.altKey) pause();
});

const events = new EventSource("/events");
events.addEventListener("message", (event) => {
  const seen = JSON.parse(event.data);
  if (latest !== null && latest.run !== seen.run) showPairs([]);
  latest = seen;
  say(latest.state, latest.away);
  show();
  document.documentElement.dataset.ready = "";
});
// The browser connects again by itself.
events.addEventListener("error", () => say("the watch has ended, or cannot be reached; trying again", true));
