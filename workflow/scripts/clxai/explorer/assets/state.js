"use strict";
// What is shown: one plain object, kept in the hash of the address.

const SIDE_KEYS = ["model", "seed", "method", "head"];
const SHARED_KEYS = ["image", "step", "units", "fill", "order", "score", "distance", "sort", "direction", "class", "error", "theme"];

/** The state in the beginning: the first of everything, the clean image. */
function firstState(study) {
  const model = study.models[0], methods = study.methods[model];
  const shown = methods.find((name) => !study.controls.includes(name)) ?? methods[0];
  return {
    a: { model, seed: String(study.seeds[0]), method: shown, head: study.heads[model][0] }, b: null,
    image: String(study.images[0]), step: 0, units: study.units[0], fill: Object.keys(study.fills)[0], order: study.orders[0],
    score: "probability_matched", distance: "drift_cosine", sort: "image", direction: "up", class: "all", error: "all", theme: "auto",
  };
}

/** The state as the hash of a link. */
function hashOf(state) {
  const pairs = new URLSearchParams();
  for (const side of ["a", "b"]) if (state[side]) pairs.set(side, SIDE_KEYS.map((key) => state[side][key]).join(","));
  for (const key of SHARED_KEYS) pairs.set(key, state[key]);
  return `#${pairs}`;
}

/** The state that a hash names, over another one; what a study does not have is left as it was. */
function stateOf(hash, before, study) {
  const pairs = new URLSearchParams(hash.replace(/^#/, "")), state = structuredClone(before);
  for (const key of SHARED_KEYS) if (pairs.has(key)) state[key] = pairs.get(key);
  if (pairs.has("a")) state.a = sideOf(pairs.get("a"), before.a);
  if ([...pairs].length) state.b = pairs.has("b") ? sideOf(pairs.get("b"), before.a) : null;
  return settled(state, before, study);
}

function sideOf(text, before) {
  const parts = text.split(","), side = { ...before };
  SIDE_KEYS.forEach((key, place) => { if (parts[place]) side[key] = parts[place]; });
  return side;
}

/** The same state with nothing in it that the study lacks. */
function settled(state, before, study) {
  const known = {
    image: study.images.map(String), units: study.units, fill: Object.keys(study.fills), order: study.orders,
    score: ["probability_matched", "probability", "log_odds"], distance: study.distances,
    sort: ["image", "class", ...Object.keys(study.metrics)], direction: ["up", "down"],
    class: ["all", ...study.classes.map((_, number) => String(number))], error: ["all", "wrong", "right"], theme: ["auto", "light", "dark"],
  };
  for (const [key, names] of Object.entries(known)) if (!names.includes(state[key])) state[key] = before[key];
  for (const side of [state.a, state.b].filter(Boolean)) {
    if (!study.models.includes(side.model)) side.model = study.models[0];
    if (!study.seeds.map(String).includes(side.seed)) side.seed = String(study.seeds[0]);
    if (!study.methods[side.model].includes(side.method)) side.method = study.methods[side.model][0];
    if (!study.heads[side.model].includes(side.head)) side.head = study.heads[side.model][0];
  }
  const last = study.fraction[state.units].length - 1, step = Number(state.step);
  state.step = Number.isFinite(step) ? Math.min(Math.max(Math.round(step), 0), last) : 0;
  return state;
}
