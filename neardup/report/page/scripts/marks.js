// What a person said of pairs: kept in the browser, saved as CSV, and loaded again.

const FORMULA = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]/;
const MOST_UNDONE = 100;
const indexOf = new Map(images.name.map((name, i) => [name, i]));

const marks = {
  /** By pair, the two names and whether they show the same. */
  said: new Map(),
  earlier: [],
  listeners: [],
  where: `neardup-marks:${report.source.key}`,

  key: (one, two) => JSON.stringify([one, two].sort()),

  /** The mark of an image and its nearest: true, false, or undefined. */
  of(i) {
    return this.said.get(this.key(images.name[i], images.name[images.nearest[i]]))?.[2];
  },

  /** Mark pairs, given by the image that was compared; `same` is true, false, or undefined for no mark. */
  set(pairs, same) {
    this.change(() => {
      for (const i of pairs) {
        if (images.nearest[i] < 0) continue;
        const [one, two] = [images.name[i], images.name[images.nearest[i]]];
        if (same === undefined) this.said.delete(this.key(one, two));
        else this.said.set(this.key(one, two), [one, two, same]);
      }
    });
  },

  /** Whether a whole group was called wrong: all of its pairs are different. */
  wrong(group) {
    const pairs = group.pairs.filter((i) => images.nearest[i] >= 0);
    return pairs.length > 0 && pairs.every((i) => this.of(i) === false);
  },

  change(action) {
    const before = new Map(this.said);
    action();
    if (JSON.stringify([...before.values()]) === JSON.stringify([...this.said.values()])) return;
    this.earlier.push(before);
    if (this.earlier.length > MOST_UNDONE) this.earlier.shift();
    this.changed();
  },

  undo() {
    const before = this.earlier.pop();
    if (!before) return false;
    this.said = before;
    this.changed();
    return true;
  },

  changed() {
    try {
      localStorage.setItem(this.where, JSON.stringify([...this.said.values()]));
    } catch {
      // A browser that keeps nothing for files: the marks last as long as the page.
    }
    for (const listener of this.listeners) listener();
  },

  restore() {
    try {
      for (const [one, two, same] of JSON.parse(localStorage.getItem(this.where) ?? "[]")) {
        if (typeof one === "string" && typeof two === "string") this.said.set(this.key(one, two), [one, two, same === true]);
      }
    } catch {
      // None kept, or not by us.
    }
  },

  /** Return the CSV that `neardup calibrate --pairs` reads. A name that a spreadsheet would run begins with `./`. */
  csv() {
    const cell = (name) => (FORMULA.test(name) ? `./${name}` : name);
    const rows = [...this.said.values()].map(([one, two, same]) => [cell(one), cell(two), same ? "same" : "different"]);
    return Papa.unparse([["image_a", "image_b", "label"], ...rows], { newline: "\n" }) + "\n";
  },

  /** Add the marks of a CSV to those that are there; return what to tell of it. */
  load(text) {
    const parsed = Papa.parse(text.replace(/^\ufeff/, ""), { skipEmptyLines: "greedy" });
    const name = (cell) => (cell.startsWith("./") && FORMULA.test(cell.slice(2)) ? cell.slice(2) : cell);
    const wrong = parsed.errors.filter((error) => error.type === "Quotes").map((error) => `row ${error.row + 1}: ${error.message}`);
    const read = [];
    parsed.data.forEach((cells, row) => {
      const [one, two, label] = cells.map((cell) => cell.trim());
      if (row === 0 && one === "image_a" && two === "image_b") return;
      if (cells.length !== 3) wrong.push(`row ${row + 1}: it has ${plural(cells.length, "column")}, it should have 3`);
      else if (label !== "same" && label !== "different") wrong.push(`row ${row + 1}: the third column is "${label.slice(0, 40)}", it should be same or different`);
      else if (!one || !two || one === two) wrong.push(`row ${row + 1}: it needs the names of two images`);
      else read.push([name(one), name(two), label === "same"]);
    });
    if (wrong.length) return `Nothing was loaded. ${wrong.slice(0, 3).join("; ")}${wrong.length > 3 ? `; and ${wrong.length - 3} more` : ""}.`;
    if (!read.length) return "Nothing was loaded: there is no pair in this file.";
    this.change(() => {
      for (const [one, two, same] of read) this.said.set(this.key(one, two), [one, two, same]);
    });
    const elsewhere = read.filter(([one, two]) => !indexOf.has(one) || !indexOf.has(two)).length;
    return `${plural(read.length, "mark")} loaded${elsewhere ? `; ${number(elsewhere)} of them of images that are not in this report` : ""}.`;
  },
};
