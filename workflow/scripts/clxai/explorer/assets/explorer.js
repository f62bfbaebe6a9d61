"use strict";
// The page: controls to state, state to what is drawn.

const at = (id) => document.getElementById(id);
const SCORE_LABELS = {
  probability_matched: "probability (matched)", probability: "probability", log_odds: "log-odds (nat)",
};

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** A number of a table, as it was rounded there; a dash where there is none. */
const shown = (value) => (value === null || value === undefined ? "–" : String(value).replace("-", "−"));
/** A number of a curve, which is less precise than a table. */
const read = (value) => (Number.isFinite(value) ? value.toFixed(3).replace("-", "−") : "–");

class Explorer {
  constructor(study, thumbnails, summary) {
    this.study = study;
    this.thumbnails = thumbnails;
    this.summary = summary;
    this.state = stateOf(location.hash, firstState(study), study);
    this.drawing = 0;
    this.timer = null;
    this.visible = [];
    this.cells = new Map();
    this.prepare();
    this.update();
  }

  title(name) {
    return this.study.titles[name] ?? String(name).replaceAll("_", " ");
  }

  get sides() {
    return [this.state.a, this.state.b].filter(Boolean);
  }

  get row() {
    return this.study.images.indexOf(Number(this.state.image));
  }

  /** The block of an image and its place there. */
  placeOf(row) {
    const block = this.study.blocks.findLastIndex((start) => start <= row);
    return [block, row - this.study.blocks[block]];
  }

  // Controls

  prepare() {
    const { study } = this;
    if (study.warning) {
      at("warning").textContent = study.warning;
      at("warning").hidden = false;
    }
    this.offer(at("units"), study.units);
    this.offer(at("fill"), Object.keys(study.fills));
    this.offer(at("order"), study.orders);
    this.offer(at("score"), Object.keys(SCORE_LABELS), (name) => SCORE_LABELS[name]);
    this.offer(at("distance"), study.distances, (name) => name.replaceAll("_", " "));
    this.offer(at("sort"), ["image", "class", ...Object.keys(study.metrics)], (name) => ({ image: "image number", class: "class" })[name] ?? name);
    this.offer(at("class"), ["all", ...study.classes.keys()].map(String), (name) => (name === "all" ? "all classes" : study.classes[name]));
    for (const key of ["units", "fill", "order", "score", "distance", "sort", "direction", "class", "error", "theme"]) {
      at(key).addEventListener("change", () => this.set({ [key]: at(key).value }));
    }
    at("step").addEventListener("input", () => this.set({ step: Number(at("step").value) }));
    at("play").addEventListener("click", () => this.play());
    at("compare").addEventListener("click", () => this.compare());
    at("link").addEventListener("click", () => this.copyLink());
    at("help").addEventListener("click", () => this.toggleHelp());
    document.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("hashchange", () => this.follow());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.update());
    this.fillGallery();
  }

  offer(select, names, label = (name) => this.title(name)) {
    select.replaceChildren(...names.map((name) => element("option", { value: name }, label(name))));
  }

  set(changes) {
    this.state = settled({ ...this.state, ...changes }, this.state, this.study);
    return this.update();
  }

  setSide(side, changes) {
    return this.set({ [side]: { ...this.state[side], ...changes } });
  }

  /** What a link, or the address line, asks for. */
  follow() {
    if (location.hash !== hashOf(this.state)) {
      this.state = stateOf(location.hash, this.state, this.study);
      this.update();
    }
  }

  compare() {
    const methods = this.study.methods[this.state.a.model];
    const other = methods[(methods.indexOf(this.state.a.method) + 1) % methods.length];
    return this.set({ b: this.state.b ? null : { ...this.state.a, method: other } });
  }

  async copyLink() {
    const before = at("link").textContent;
    try {
      await navigator.clipboard.writeText(location.href);
      at("link").textContent = "Copied";
    } catch {
      at("link").textContent = "Copy the address line";
    }
    setTimeout(() => { at("link").textContent = before; }, 1500);
  }

  toggleHelp() {
    at("keys").hidden = !at("keys").hidden;
    at("help").setAttribute("aria-expanded", String(!at("keys").hidden));
  }

  play() {
    const last = this.study.fraction[this.state.units].length - 1;
    if (this.timer) {
      clearInterval(this.timer);
      this.timer = null;
    } else {
      if (this.state.step === last) this.set({ step: 0 });
      this.timer = setInterval(() => (this.state.step < last ? this.set({ step: this.state.step + 1 }) : this.play()), 350);
    }
    at("play").textContent = this.timer ? "Pause" : "Play";
    at("play").setAttribute("aria-pressed", String(Boolean(this.timer)));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const tag = event.target.tagName, own = { " ": ["BUTTON", "SUMMARY", "SELECT"], Home: ["SELECT"], End: ["SELECT"] };
    const arrows = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"];
    if (own[event.key]?.includes(tag) || (arrows.includes(event.key) && tag === "SELECT")) return;
    if (tag === "SELECT" && event.key.length === 1) return;
    const action = this.actionOf(event.key, event.shiftKey ? -1 : 1);
    if (action) {
      event.preventDefault();
      action();
    }
  }

  actionOf(key, way) {
    const { state, study } = this, last = study.fraction[state.units].length - 1;
    const next = (names, name) => names[(names.indexOf(name) + way + names.length) % names.length];
    return {
      ArrowRight: () => this.set({ step: state.step + 1 }), ArrowLeft: () => this.set({ step: state.step - 1 }),
      Home: () => this.set({ step: 0 }), End: () => this.set({ step: last }), " ": () => this.play(),
      ArrowDown: () => this.move(1), ArrowUp: () => this.move(-1),
      m: () => this.setSide("a", { method: next(study.methods[state.a.model], state.a.method) }),
      o: () => this.setSide("a", { model: next(study.models, state.a.model) }),
      h: () => this.setSide("a", { head: next(study.heads[state.a.model], state.a.head) }),
      s: () => this.setSide("a", { seed: next(study.seeds.map(String), state.a.seed) }),
      f: () => this.set({ fill: next(Object.keys(study.fills), state.fill) }),
      r: () => this.set({ order: next(study.orders, state.order) }),
      t: () => this.set({ theme: next(["auto", "light", "dark"], state.theme) }),
      c: () => this.compare(), l: () => this.copyLink(), "?": () => this.toggleHelp(),
    }[key.length === 1 ? key.toLowerCase() : key];
  }

  /** Go to the next or the last image of those that are shown. */
  move(way) {
    if (!this.visible.length) return;
    const place = this.visible.indexOf(this.row);
    const next = place < 0 ? 0 : Math.min(Math.max(place + way, 0), this.visible.length - 1);
    this.set({ image: String(this.study.images[this.visible[next]]) });
  }

  // Images

  fillGallery() {
    const [, channels, height, width] = this.thumbnails.shape, { study } = this;
    study.images.forEach((image, row) => {
      const canvas = element("canvas", { "aria-hidden": "true" });
      const picture = this.thumbnails.at(row);
      paint(canvas, height, width, pixelsOf(picture, picture.length / channels));
      const note = element("span");
      const cell = element("div", { class: "item", role: "option", id: `image-${image}`, "data-image": image,
        onclick: () => this.set({ image: String(image) }) }, canvas, note);
      this.cells.set(row, { cell, note });
    });
    at("gallery").append(...[...this.cells.values()].map(({ cell }) => cell));
  }

  /** Sort and filter the images by what is shown on the first side. */
  arrange(metrics, targets) {
    const { state, study } = this, values = metrics[`${state.a.head}/${state.fill}`]?.[state.sort];
    const keyOf = { image: (row) => study.images[row], class: (row) => study.labels[row] }[state.sort] ?? ((row) => values?.[row] ?? null);
    const wrong = (row) => targets[row] !== study.labels[row], way = state.direction === "up" ? 1 : -1;
    const rows = study.images.map((_, row) => row).filter((row) => (state.class === "all" || study.labels[row] === Number(state.class))
      && (state.error === "all" || wrong(row) === (state.error === "wrong")));
    rows.sort((one, other) => {
      const [a, b] = [keyOf(one), keyOf(other)];
      if (a === null || b === null) return (a === null) - (b === null) || one - other; // what is not defined stands last
      return way * (a - b) || one - other;
    });
    this.visible = rows;
    const numbers = !["image", "class"].includes(state.sort);
    for (const [row, { cell, note }] of this.cells) {
      cell.hidden = !rows.includes(row);
      cell.style.display = cell.hidden ? "none" : "";
      cell.style.order = rows.indexOf(row);
      cell.setAttribute("aria-selected", String(row === this.row));
      cell.setAttribute("aria-label", `image ${study.images[row]}, class ${study.classes[study.labels[row]]}${wrong(row) ? `, taken for ${study.classes[targets[row]]}` : ""}`);
      const words = numbers ? shown(values?.[row]) : study.classes[study.labels[row]];
      note.replaceChildren(words, ...(wrong(row) ? [element("span", { class: "wrong" }, ` → ${study.classes[targets[row]]}`)] : []));
    }
    at("gallery").setAttribute("aria-activedescendant", `image-${state.image}`);
    const wrongs = rows.filter(wrong).length;
    at("count").textContent = `${rows.length} of ${study.images.length} images, ${wrongs} of them taken for another class by ${this.title(state.a.head)}`;
    const own = this.cells.get(this.row).cell;
    if (!own.hidden) own.scrollIntoView({ block: "nearest" });
  }

  // Everything

  /** Draw what the state asks for; a later call overtakes an earlier one. */
  async update() {
    const turn = ++this.drawing, hash = hashOf(this.state);
    if (location.hash !== hash) {
      try { history.replaceState(null, "", hash); } catch { location.hash = hash; }
    }
    const dark = this.state.theme === "dark" || (this.state.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    this.showControls();
    try {
      const views = await Promise.all(this.sides.map((side) => this.load(side)));
      if (turn !== this.drawing) return;
      at("message").hidden = true;
      this.arrange(views[0].metrics, this.targets(views[0]));
      this.draw(views, dark);
      document.body.dataset.drawn = hash;
    } catch (error) {
      if (turn !== this.drawing) return;
      at("message").textContent = error.message;
      at("message").hidden = false;
    }
  }

  showControls() {
    const { state, study } = this;
    for (const key of ["units", "fill", "order", "score", "distance", "sort", "direction", "class", "error", "theme"]) at(key).value = state[key];
    at("step").max = study.fraction[state.units].length - 1;
    at("step").value = state.step;
    at("compare").setAttribute("aria-pressed", String(Boolean(state.b)));
  }

  /** What one side shows: its slices. */
  async load(side) {
    const [block, place] = this.placeOf(this.row), { state, study } = this;
    const run = `${side.model}/${side.seed}`, cell = `${run}/${state.units}/${side.method}`;
    const bank = study.banks.includes(state.fill) ? slices.load(`bank/${run}/${block}`) : null;
    const [pixels, trained, metrics, curves, own] = await Promise.all([
      slices.load(`pixels/${block}`), slices.load(`run/${run}`), slices.load(`metrics/${cell}`), slices.load(`curves/${cell}/${block}`), bank]);
    const heads = curves.values.heads;
    return { side, place, pixels, trained, metrics: metrics.values, curves, bank: own, heads, explained: heads.indexOf(side.head) };
  }

  /** The class that the explaining head predicts for every clean image. */
  targets({ trained, explained }) {
    return trained.arrays.targets.at(explained);
  }

  draw(views, dark) {
    const { state, study } = this, [view] = views, fraction = study.fraction[state.units];
    const counts = this.countsOf(view), count = counts[state.step], nUnits = counts.at(-1);
    at("removed").textContent = `${count} of ${nUnits} units (${Math.round((100 * count) / nUnits)} %) gone`;
    const label = study.labels[this.row];
    at("caption").textContent = `Image ${state.image}, class ${study.classes[label]}. ${this.title(state.order)}: the ${state.order === "morf" ? "most" : "least"} important units go first; the fill is ${this.title(state.fill)}.`;
    const drawn = views.map((one) => this.linesOf(one));
    const domain = state.score === "log_odds" ? d3.extent(drawn.flatMap(({ lines }) => lines.flatMap(({ values }) => Array.from(values).filter(Number.isFinite)))) : [0, 1];
    const distances = views.map((one) => one.curves.arrays[state.distance].at(one.explained, this.fillPlace, this.orderPlace, one.place));
    const finite = distances.flatMap((values) => Array.from(values).filter(Number.isFinite));
    const reach = [Math.min(0, ...finite), Math.max(...finite, 1e-9)];
    at("sides").replaceChildren(...views.map((one, number) => this.sideNode(one, number, { ...drawn[number], domain, fraction, distance: distances[number], reach, count, nUnits, dark, width: views.length > 1 ? 236 : 330 })));
    this.drawMetrics(views);
  }

  get fillPlace() {
    return Object.keys(this.study.fills).indexOf(this.state.fill);
  }

  get orderPlace() {
    return this.study.orders.indexOf(this.state.order);
  }

  countsOf({ pixels, place }) {
    const counts = pixels.arrays[`counts/${this.state.units}`];
    return counts.at(Math.min(place, counts.shape[0] - 1));
  }

  /** The scores of every head along the steps, and what it predicts. */
  linesOf({ curves, heads, explained, place }) {
    const { state, study } = this, order = Object.values(study.heads).flat().filter((name, i, all) => all.indexOf(name) === i);
    const quantity = curves.arrays[state.score === "probability" ? "log_odds" : state.score];
    const lines = heads.map((name, scorer) => {
      const stored = quantity.at(explained, scorer, this.fillPlace, this.orderPlace, place);
      const values = state.score === "probability" ? stored.map((value) => 1 / (1 + Math.exp(-value))) : stored;
      const predicted = curves.arrays.prediction.at(explained, scorer, this.fillPlace, this.orderPlace, place);
      return { name, place: order.indexOf(name), own: scorer === explained, values, predicted };
    });
    return { lines };
  }

  sideNode(view, number, shared) {
    const key = number === 0 ? "a" : "b", node = element("section", { class: "side", "aria-label": `Side ${key.toUpperCase()}` });
    const looks = element("div", { class: "looks" }, this.pictures(view, shared), this.nowTable(view, shared));
    node.append(this.sideControls(view.side, key), looks, this.charts(view, shared));
    return node;
  }

  sideControls(side, key) {
    const { study } = this, bar = element("div", { class: "controls" }, element("h2", {}, this.state.b ? key.toUpperCase() : "Shown"));
    const levels = { model: study.models, seed: study.seeds.map(String), method: study.methods[side.model], head: study.heads[side.model] };
    for (const [name, names] of Object.entries(levels)) {
      const select = element("select", { id: `${key}-${name}`, onchange: (event) => this.setSide(key, { [name]: event.target.value }).then(() => at(`${key}-${name}`)?.focus()) });
      this.offer(select, names);
      select.value = side[name];
      bar.append(element("label", {}, `${name[0].toUpperCase()}${name.slice(1)} `, select));
    }
    return bar;
  }

  pictures(view, { count, nUnits, dark }) {
    const { state, study } = this, { pixels, curves, explained, place } = view;
    const labels = pixels.arrays[`labels/${state.units}`], [height, width] = labels.shape.slice(1), size = height * width;
    const map = labels.at(Math.min(place, labels.shape[0] - 1)), image = pixels.arrays.images.at(place);
    const ranks = ranksOf(curves.arrays.ranks.at(explained, place), nUnits, state.order), gone = removedPixels(map, ranks, count);
    const scores = curves.arrays.scores.at(explained, place), limit = d3.max(scores, Math.abs);
    const colour = mapColour(curves.values.signed, limit), row = element("div", { class: "pictures" });
    const degenerate = curves.arrays.degenerate.one(explained, place);
    const add = (words, label, draw) => {
      const canvas = element("canvas", { role: "img", "aria-label": label });
      row.append(element("figure", {}, canvas, element("figcaption", {}, words)));
      draw(canvas);
    };
    add("image", `image ${state.image}`, (canvas) => paint(canvas, height, width, pixelsOf(image, size)));
    const key = curves.values.signed ? "red for, blue against" : "dark: high";
    add(degenerate ? "map is constant: units in random order" : `map, mean of each unit (${key})`, "attribution of each unit", (canvas) => paint(canvas, height, width, (p) => colour(scores[map[p]])));
    add("what is left; hatched: removed", "removed units", (canvas) => paintRemoved(canvas, height, width, image, gone, dark));
    const filled = this.perturbed(view, image, gone, size);
    if (filled) add(`as the network sees it, filled by ${this.title(state.fill)}`, "perturbed image", (canvas) => paint(canvas, height, width, pixelsOf(filled, size)));
    else row.append(element("figure", {}, element("figcaption", { class: "mark" }, `The fill ${this.title(state.fill)} sees which units are gone: its pictures are stored for the first ${this.followed(curves)} images (flipping.trajectories).`)));
    return row;
  }

  followed(curves) {
    const [block] = this.placeOf(this.row);
    return this.study.blocks[block] + (curves.arrays.path?.shape[3] ?? 0);
  }

  /** The image at this step, flat [channel, y, x]; null where its picture is not stored. */
  perturbed({ pixels, curves, bank, explained, place }, image, gone, size) {
    const { state, study } = this, name = `fill/${state.fill}`;
    if (study.fills[state.fill]) {
      const stored = curves.arrays[name];
      return stored && place < stored.shape[2] ? stored.at(explained, this.orderPlace, place, state.step) : null;
    }
    const pictures = (bank ?? pixels).arrays[name], fill = pictures.at(place), channels = Math.max(image.length, fill.length) / size;
    const mixed = new Uint8Array(channels * size), of = (picture, c, p) => picture[picture.length > size ? c * size + p : p];
    for (let c = 0; c < channels; c++) for (let p = 0; p < size; p++) mixed[c * size + p] = gone[p] ? of(fill, c, p) : of(image, c, p);
    return mixed;
  }

  nowTable({ trained, heads, place: _ }, { lines, fraction }) {
    const { study, state } = this, head = element("tr", {}, ...["head", SCORE_LABELS[state.score], "predicts", "accuracy"].map((name) => element("th", { scope: "col" }, name)));
    const rows = lines.map(({ name, place, own, values, predicted }, number) => {
      const look = headLook(place), swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      swatch.setAttribute("class", "swatch");
      swatch.innerHTML = `<line x1="0" x2="30" y1="5" y2="5" style="stroke:${look.stroke}" stroke-width="${own ? 4 : 2}" stroke-dasharray="${look.dash}"/>`;
      const target = trained.arrays.targets.one(number, this.row), now = predicted[state.step];
      return element("tr", { class: own ? "own" : false, "data-head": name }, element("td", {}, swatch, this.title(name)),
        element("td", {}, read(values[state.step])), element("td", { class: now === target ? false : "mark" }, study.classes[now] + (now === target ? "" : ` (was ${study.classes[target]})`)),
        element("td", {}, shown(trained.values.accuracy[name])));
    });
    return element("div", { class: "scroll now" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
  }

  charts(view, { lines, domain, fraction, distance, reach, width }) {
    const { state, study } = this, { curves, side } = view, box = element("div", { class: "charts" });
    const quantity = study.quantities[state.distance], limit = curves.values[`clean_${state.distance}`];
    const add = (chart, words) => box.append(element("figure", {}, chart, element("figcaption", {}, words)));
    add(scoreChart(lines, fraction, state.step, SCORE_LABELS[state.score], domain, width), `What every head says of the class that it predicts for the clean image, in the order of the map for ${this.title(side.head)} (thick).`);
    const known = Array.from(distance).some(Number.isFinite), unit = quantity.unit === "1" ? "" : ` (${quantity.unit})`;
    if (known) add(distanceChart(distance, fraction, state.step, state.distance.replaceAll("_", " ") + unit, limit, reach, width), `${quantity.text}; here ${read(distance[state.step])}${unit}.`);
    else box.append(element("figure", {}, element("figcaption", { class: "mark" }, `${state.distance.replaceAll("_", " ")} is not defined for this model: ${quantity.text}.`)));
    add(planeChart(this.plane(view), width), this.planeWords(view));
    return box;
  }

  plane({ trained, curves, explained, place }) {
    const { state, study } = this, { points, labels, medians, clean, targets } = trained.arrays;
    const both = (numbers, i) => ({ x: numbers.one(0, i), y: numbers.one(1, i) });
    const stored = curves.arrays.path, known = stored && place < stored.shape[3];
    const [x, y] = known ? [0, 1].map((axis) => stored.at(explained, this.fillPlace, this.orderPlace, place, axis)) : [];
    return {
      points: Array.from(labels.data, (label, i) => ({ ...both(points, i), label })), shares: trained.values.shares, classes: study.classes,
      medians: study.classes.map((_, label) => ({ ...both(medians, label), label })), clean: both(clean, this.row),
      path: known ? Array.from(x, (value, i) => ({ x: value, y: y[i] })) : null, step: state.step,
      target: targets.one(explained, this.row), truth: study.labels[this.row],
    };
  }

  planeWords(view) {
    const { study } = this, { target, truth, path } = this.plane(view), name = (label) => study.classes[label];
    const classes = target === truth ? `blue: class ${name(target)}, which the head predicts` : `blue: predicted class ${name(target)}; orange: true class ${name(truth)}`;
    const way = path ? "Ring: clean image; dot: this step; cross: all units gone." : `Ring: clean image. Paths are recorded for the first ${this.followed(view.curves)} images (flipping.trajectories).`;
    return `Training embeddings in their first two principal components (${classes}). ${way} Distances in the plane understate those in the full space.`;
  }

  drawMetrics(views) {
    const { study, state } = this, names = Object.keys(study.metrics), column = (key) => (views.length > 1 ? ` ${key}` : "");
    const head = element("tr", {}, element("th", { scope: "col" }, "metric"), element("th", { scope: "col" }, "better"),
      ...views.flatMap((_, i) => [element("th", { scope: "col" }, `this image${column("AB"[i])}`), element("th", { scope: "col" }, `study mean [95 %]${column("AB"[i])}`)]));
    const rows = names.map((name) => {
      const { better, text } = study.metrics[name], cells = views.flatMap(({ side, metrics }) => {
        const [mean, low, high] = this.summary[`${side.model}/${state.units}/${side.method}/${side.head}/${state.fill}`]?.[name] ?? [];
        return [element("td", {}, shown(metrics[`${side.head}/${state.fill}`][name][this.row])), element("td", {}, `${shown(mean)} [${shown(low)}, ${shown(high)}]`)];
      });
      const sort = element("button", { title: `${text} Sort the images by it.`, onclick: () => this.set({ sort: name }) }, name + (state.sort === name ? (state.direction === "up" ? " ↑" : " ↓") : ""));
      return element("tr", { "data-metric": name }, element("td", {}, sort), element("td", {}, { 1: "higher", "-1": "lower", 0: "–" }[better]), ...cells);
    });
    at("metrics").replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows));
  }
}

function start() {
  Promise.all([slices.load("overview"), slices.load("summary")]).then(
    ([overview, summary]) => { window.explorer = new Explorer(overview.values, overview.arrays.thumbnails, summary.values); },
    (error) => {
      at("message").textContent = `The page cannot be read: ${error.message}`;
      at("message").hidden = false;
    },
  );
}

document.addEventListener("DOMContentLoaded", start); // the slices stand behind the scripts
