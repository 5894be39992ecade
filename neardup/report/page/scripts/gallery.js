// The groups, and the pairs near the radius.

const TILES = 24; // of a group at first: a group may have thousands
const MORE_TILES = 240;
const GROUP_PX = 300;
const PAIR_PX = 132;

const gallery = {
  shown: [],

  draw(state) {
    const sought = $("find").value.trim().toLowerCase();
    const has = (group) => group.members.some((i) => images.name[i].toLowerCase().includes(sought));
    this.shown = this.ordered(sought ? state.groups.filter(has) : [...state.groups], state.radius);
    $("found").textContent = sought ? `${plural(this.shown.length, "group")} of ${number(state.groups.length)}` : "";
    lazyList($("groups"), this.shown, {
      make: (group, position) => this.group(group, position, state),
      estimatePx: GROUP_PX,
      label: "Groups of duplicates",
      empty: sought ? "No group has an image of that name." : "No duplicates at this radius.",
    });
  },

  ordered(groups, radius) {
    const off = (group) => Math.min(...group.pairs.map((i) => (images.distance[i] === null ? Infinity : Math.abs(images.distance[i] - radius))));
    const by = {
      size: (group) => -group.members.length,
      near: off,
      name: null,
    }[$("order").value];
    const keyed = groups.map((group) => [by ? by(group) : 0, images.name[group.head], group]);
    keyed.sort((one, two) => one[0] - two[0] || (one[1] < two[1] ? -1 : one[1] > two[1] ? 1 : 0));
    return keyed.map(([, , group]) => group);
  },

  group(group, position, state) {
    const wrong = h("button", { type: "button", class: "wrong", "aria-keyshortcuts": "W", onclick: () => callWrong(group) }, "Wrong");
    const strip = h("div", { class: "strip" });
    const made = h(
      "section",
      { class: "card group", "aria-label": `Group ${position + 1}, ${plural(group.members.length, "image")}` },
      h("div", { class: "row" }, h("h3", {}, `Group ${number(position + 1)}`), h("span", { class: "muted grow" }, this.about(group)), wrong),
      strip,
    );
    made.group = group;
    made.wrongButton = wrong;
    if (state.duplicate[group.root]) strip.append(h("span", { class: "tile no-picture" }, "the image that these duplicate is not in this report"));
    this.fill(strip, group, state, 0, TILES);
    showWrong(made);
    return made;
  },

  about(group) {
    const distances = group.pairs.map((i) => images.distance[i]).filter((each) => each !== null);
    const range = distances.length ? `distance ${[...new Set([Math.min(...distances), Math.max(...distances)].map(distanceText))].join(" to ")}` : "";
    return [plural(group.members.length, "image"), range].filter(Boolean).join(" \u00b7 ");
  },

  fill(strip, group, state, from, count) {
    const judged = group.pairs.filter((i) => images.nearest[i] >= 0);
    for (const i of group.members.slice(from, from + count)) {
      const kept = i === group.head;
      const duplicate = Boolean(state.duplicate[i]);
      const isJudged = duplicate && images.nearest[i] >= 0;
      const pair = isJudged ? i : judged[0];
      const via = isJudged && !kept && images.nearest[i] !== group.head ? images.nearest[i] : undefined;
      const open = () => pair !== undefined && compare.open(judged, judged.indexOf(pair));
      strip.append(tile(i, { kept, duplicate, via, open }));
    }
    const rest = group.members.length - from - count;
    if (rest <= 0) return;
    const next = Math.min(rest, MORE_TILES);
    const more = h("button", { type: "button", class: "more" }, next < rest ? `${number(next)} more of ${number(rest)}` : `${number(rest)} more`);
    more.addEventListener("click", () => {
      const at = [...strip.children].indexOf(more);
      more.remove();
      this.fill(strip, group, state, from + count, next);
      focusOn(strip.children[at]);
    });
    strip.append(more);
  },

  /** Arrow keys go from tile to tile and from group to group; letters mark. */
  keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const section = event.target.closest(".group");
    if (!section) return;
    const at = event.target.closest(".tile");
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const down = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const key = event.key.toLowerCase();
    if (step && at) focusOn(step > 0 ? at.nextElementSibling : at.previousElementSibling);
    else if (down) this.go(section, down);
    else if (key === "w") callWrong(section.group);
    else if (at?.dataset.pair === undefined || !markByKey(key, Number(at.dataset.pair))) return;
    event.preventDefault();
  },

  go(section, by) {
    const item = $("groups").reveal(this.shown.indexOf(section.group) + by);
    focusOn(item?.querySelector(".tile"));
  },

  listen() {
    $("groups").addEventListener("keydown", (event) => this.keys(event));
    marks.listeners.push(() => document.querySelectorAll(".group").forEach(showWrong));
  },
};

function focusOn(element) {
  if (!element) return;
  element.focus({ preventScroll: true });
  element.scrollIntoView({ block: "nearest", inline: "nearest" });
}

/** Call a whole group wrong: each of its pairs is different; a second time takes that back. */
function callWrong(group) {
  const wrong = marks.wrong(group);
  marks.set(group.pairs, wrong ? undefined : false);
  say(wrong ? "The group is not called wrong any more." : `The group is wrong: ${plural(group.pairs.length, "pair")} marked different.`);
}

function showWrong(section) {
  const wrong = marks.wrong(section.group);
  section.classList.toggle("is-wrong", wrong);
  section.wrongButton.setAttribute("aria-pressed", wrong);
}

const pairs = {
  all: [],

  draw(state) {
    this.all = pairsNear(state.radius);
    $("judge").disabled = !this.all.length;
    lazyList($("pairs"), this.all, {
      make: (i, position) => this.row(i, position, state),
      estimatePx: PAIR_PX,
      label: "Pairs, the nearest to the radius first",
      empty: "There are no pairs with a distance.",
    });
  },

  row(i, position, state) {
    const other = images.nearest[i];
    const within = duplicateFrom[i] <= state.radius;
    const made = h(
      "div",
      { class: "card pair", "data-pair": i },
      h("button", { type: "button", class: "pair-pictures", "aria-label": `Compare ${images.name[other]} and ${images.name[i]}`, onclick: () => compare.open(this.all, position) }, picture(other), picture(i)),
      h("div", { class: "pair-text" },
        h("span", {}, h("strong", {}, distanceText(images.distance[i])), h("span", { class: within ? "within" : "beyond" }, within ? " duplicate" : " unique"), h("span", { class: "mark" })),
        nameElement(images.name[other]), nameElement(images.name[i]), h("span", { class: "muted small" }, images.done[i])),
      h("div", { class: "pair-judge" },
        h("button", { type: "button", class: "same", onclick: () => markByKey("s", i), "aria-label": `Same: ${images.name[i]}` }, "Same"),
        h("button", { type: "button", class: "different", onclick: () => markByKey("d", i), "aria-label": `Different: ${images.name[i]}` }, "Different")),
    );
    showMark(made);
    return made;
  },

  keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = event.target.closest(".pair");
    if (!row) return;
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const pair = Number(row.dataset.pair);
    if (by) focusOn($("pairs").reveal(this.all.indexOf(pair) + by)?.querySelector("button"));
    else if (!markByKey(event.key.toLowerCase(), pair)) return;
    event.preventDefault();
  },

  /** Compare the pairs that have no mark yet, the most doubtful first. */
  judge() {
    const open = this.all.filter((i) => marks.of(i) === undefined);
    if (open.length) compare.open(open);
    else say("All pairs have a mark.");
  },

  listen() {
    $("pairs").addEventListener("keydown", (event) => this.keys(event));
    $("judge").addEventListener("click", () => this.judge());
  },
};
