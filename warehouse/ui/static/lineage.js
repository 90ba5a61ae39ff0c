// Which model reads which: layers from the vendor's datasets to the marts, and columns of one.

import { get, shownGeneration } from "./api.js";
import { actions } from "./actions.js";
import { css, fill, h, problem } from "./dom.js";
import { note } from "./route.js";
import { table } from "./state.js";

/** @typedef {{ name: string, schema: string, reads: string[], datasets: string[], has_data: boolean, sql: string | null }} Model */

/** @param {HTMLElement} view @param {import("./route.js").Route} route */
export function open(view, route) {
  const stop = new AbortController();
  const map = h("div", { class: "pad" }, h("p", { class: "busy" }, "reading the models …"));
  const below = h("div", { class: "pad wrap" });
  /** @type {Model[]} */
  let models = [];
  let chosen = route.id;
  let all = false;
  const every = h("button", { class: "quiet", onclick: () => { all = !all; every.classList.toggle("on", all); draw(); } }, "show datasets without data");
  fill(view, h("div", { class: "bar" }, h("span", {}, "from the vendor's datasets to the marts; choose a table for its columns"), every,
    actions({ question: () => ({ sql: 'select "schema", name, sql from meta.models order by all', params: {} }), name: () => "lineage" })), map, below);

  async function load() {
    try {
      models = (await get("lineage", {}, stop.signal)).models;
      draw();
      if (chosen) columns();
    } catch (error) {
      if (/** @type {any} */ (error).name !== "AbortError") fill(map, problem(error));
    }
  }

  function draw() {
    const shown = models.filter((one) => all || one.has_data && (one.schema === "vendor" || !one.datasets.length || one.datasets.some((name) => models.find((other) => other.name === `vendor.${name}`)?.has_data)));
    const names = new Map(shown.map((one) => [one.name, one]));
    /** @type {Map<string, number>} */
    const depth = new Map();
    /** @type {(name: string, seen?: Set<string>) => number} */
    const deep = (name, seen = new Set()) => {
      const known = depth.get(name);
      if (known !== undefined) return known;
      if (seen.has(name)) return 0;
      seen.add(name);
      const found = Math.max(-1, ...(names.get(name)?.reads ?? []).filter((other) => names.has(other)).map((other) => deep(other, seen))) + 1;
      depth.set(name, found);
      return found;
    };
    shown.forEach((one) => deep(one.name));
    const related = chosen && names.has(chosen) ? relatives(chosen, names) : null;
    const layers = [];
    for (let level = 0; level <= Math.max(0, ...depth.values()); level += 1) {
      layers.push(h("div", { class: "layer" }, ...shown.filter((one) => depth.get(one.name) === level).map((one) =>
        h("button", { class: `model${one.name === chosen ? " on" : related && !related.has(one.name) ? " dim" : ""}`, title: table(one.name)?.meaning ?? "", "data-model": one.name,
          onclick: () => { chosen = one.name; draw(); columns(); } }, one.name, table(one.name)?.looks_ahead ? h("em", { class: "ahead" }, " looks ahead") : null))));
    }
    const canvas = h("canvas", { class: "off" });
    const box = h("div", { class: "layers" }, canvas, ...layers);
    fill(map, box);
    wires(box, canvas, shown, related);
  }

  async function columns() {
    note("lineage", chosen, new URLSearchParams({ g: String(shownGeneration()) }));
    const model = models.find((one) => one.name === chosen);
    fill(below, h("p", { class: "busy" }, "tracing the columns …"));
    try {
      const found = (await get("columns", { table: chosen }, stop.signal)).columns;
      const head = ["column", "unit", "computed from", "vendor's columns"];
      fill(below, h("h2", {}, chosen), h("p", {}, table(chosen)?.meaning ?? ""),
        h("table", {}, h("thead", {}, h("tr", {}, ...head.map((name) => h("th", {}, name)))),
          h("tbody", {}, ...found.map((/** @type {any} */ one) => h("tr", {}, h("td", {}, one.name), h("td", {}, one.unit ?? ""), h("td", {}, one.from.join(", ")), h("td", {}, one.vendor.join(", ")))))),
        model?.sql ? h("details", {}, h("summary", {}, "SQL of the model"), h("pre", {}, model.sql)) : null);
    } catch (error) {
      if (/** @type {any} */ (error).name !== "AbortError") fill(below, problem(error));
    }
  }
  addEventListener("themed", draw);
  load();
  return () => {
    stop.abort();
    removeEventListener("themed", draw);
  };
}

/** All models before and after one. @param {string} name @param {Map<string, Model>} names */
function relatives(name, names) {
  const found = new Set([name]);
  const back = (/** @type {string} */ at) => names.get(at)?.reads.forEach((other) => { if (!found.has(other)) { found.add(other); back(other); } });
  back(name);
  const after = (/** @type {string} */ at) => names.forEach((one) => { if (one.reads.includes(at) && !found.has(one.name)) { found.add(one.name); after(one.name); } });
  after(name);
  return found;
}

/** Curves from each model to those that it reads. @param {HTMLElement} box @param {HTMLCanvasElement} canvas @param {Model[]} shown @param {Set<string> | null} related */
function wires(box, canvas, shown, related) {
  const scale = devicePixelRatio || 1;
  const { left, top } = box.getBoundingClientRect();
  const [width, height] = [box.scrollWidth, box.scrollHeight];
  canvas.className = "";
  Object.assign(canvas, { width: width * scale, height: height * scale });
  Object.assign(canvas.style, { position: "absolute", left: "0", top: "0", width: `${width}px`, height: `${height}px`, pointerEvents: "none", zIndex: "0" });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.scale(scale, scale);
  /** @type {Map<string, DOMRect>} */
  const places = new Map();
  box.querySelectorAll(".model").forEach((one) => places.set(/** @type {string} */ (one.getAttribute("data-model")), one.getBoundingClientRect()));
  for (const one of shown) {
    for (const other of one.reads) {
      const [to, from] = [places.get(one.name), places.get(other)];
      if (!to || !from) continue;
      const isNear = related === null || (related.has(one.name) && related.has(other));
      context.strokeStyle = css(related && isNear ? "--accent" : "--line");
      context.globalAlpha = isNear ? 1 : 0.35;
      const [x0, y0, x1, y1] = [from.right - left, from.top + from.height / 2 - top, to.left - left, to.top + to.height / 2 - top];
      context.beginPath();
      context.moveTo(x0, y0);
      context.bezierCurveTo(x0 + 22, y0, x1 - 22, y1, x1, y1);
      context.stroke();
    }
  }
}
