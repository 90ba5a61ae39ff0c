// A feature against a forward return: a sample of points, deciles with quartiles, least squares.

import { get, shownGeneration } from "./api.js";
import { actions } from "./actions.js";
import { firstMeasure, measureChoice, seriesChoice } from "./choice.js";
import { css, fill, h, problem } from "./dom.js";
import { axisLabels, number } from "./format.js";
import { paintedCanvas, picturesIn } from "./pen.js";
import { measureText, note, parseMeasure } from "./route.js";
import { column as facts, rememberSeries, series, seriesOf, table } from "./state.js";

/** @param {HTMLElement} view @param {import("./route.js").Route} route */
export async function open(view, route) {
  const stop = new AbortController();
  let of = seriesOf(route.id);
  const given = (/** @type {string} */ name) => /** @type {any} */ (parseMeasure(route.query.get(name) ?? ""));
  let x = given("x") ?? await firstMeasure(of, (one, column) => !one.looks_ahead && /zscore|premium/.test(column.name));
  let y = given("y") ?? await firstMeasure(of, (one, column) => one.looks_ahead && column.unit === "bps");
  const body = h("div", { class: "pad" });
  /** @type {any} */
  let answer = null;
  fill(view, h("div", { class: "bar" }, seriesChoice(of?.id, (id) => { of = /** @type {any} */ (series(id)); rememberSeries(id); load(); }),
    measureChoice(y, (table, column) => { y = { table, column }; load(); }, "y"), "against", measureChoice(x, (table, column) => { x = { table, column }; load(); }, "x"),
    actions({ question: () => answer && { sql: answer.sql, params: answer.params }, pictures: () => picturesIn(body), name: () => `${y.column}_against_${x.column}` })), body);

  async function load() {
    if (!of) return fill(body, h("p", { class: "empty" }, "This catalog has no series yet."));
    note("scatter", of.id, new URLSearchParams({ x: measureText({ ...x, series: null }), y: measureText({ ...y, series: null }), g: String(shownGeneration()) }));
    fill(body, h("p", { class: "busy" }, "computing …"));
    try {
      answer = await get("scatter", { series: of.id, x_table: x.table, x: x.column, y_table: y.table, y: y.column }, stop.signal);
      draw();
    } catch (error) {
      if (/** @type {any} */ (error).name !== "AbortError") fill(body, problem(error));
    }
  }

  function draw() {
    if (!answer) return;
    if (!answer.points.length) return fill(body, h("p", { class: "empty" }, "No bar has values of both measures."));
    const label = (/** @type {any} */ one) => `${one.table}.${one.column} ${unitOf(one)}`;
    const fit = answer.fit;
    const said = `${fit.n.toLocaleString("en-US")} bars; least squares: slope ${number(fit.slope)}, correlation ${number(fit.correlation)}`;
    const looks = table(x.table)?.looks_ahead ? h("em", { class: "ahead" }, "x looks ahead: it was not known at its bar") : null;
    const scale = h("div", { class: "scale" }, h("span", {}, said), h("span", {}, h("i", { style: { background: css("--c3") } }), "mean of each decile of x, with quartiles"), looks);
    fill(body, scale, cloud(body.clientWidth - 26, Math.max(180, body.clientHeight - 60), answer, label(x), label(y)), decileTable(answer.bins));
  }
  addEventListener("themed", draw);
  const observer = new ResizeObserver(draw);
  observer.observe(view);
  load();
  return () => {
    stop.abort();
    observer.disconnect();
    removeEventListener("themed", draw);
  };
}

/** @param {{ table: string, column: string }} one */
function unitOf(one) {
  const unit = facts(one.table, one.column)?.unit;
  return unit && unit !== "none" ? `[${unit}]` : "";
}

/** @param {any[]} bins */
function decileTable(bins) {
  const names = ["decile", "bars", "x from", "to", "mean of y", "25 %", "median", "75 %"];
  return h("table", {}, h("thead", {}, h("tr", {}, ...names.map((name) => h("th", { class: "n" }, name)))),
    h("tbody", {}, ...bins.map((one) => h("tr", {}, ...[one.bin, one.n, one.low, one.high, one.mean, ...one.q].map((value) => h("td", { class: "n" }, number(value)))))));
}

/** @param {number[]} values @param {number} share */
function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/** @param {number} width @param {number} height @param {any} answer @param {string} xLabel @param {string} yLabel */
export function cloud(width, height, answer, xLabel, yLabel) {
  return paintedCanvas(width, height, (context) => {
    context.font = `11px ${css("--sans")}`;
    const [left, right, top, bottom] = [64, width - 12, 8, height - 40];
    const xs = answer.points.map((/** @type {number[]} */ one) => one[0]);
    const ys = answer.points.map((/** @type {number[]} */ one) => one[1]);
    const range = (/** @type {number[]} */ values) => {
      const [low, high] = [quantile(values, 0.003), quantile(values, 0.997)];
      const pad = (high - low || 1) * 0.05;
      return [low - pad, high + pad];
    };
    const [x0, x1] = range(xs);
    const [y0, y1] = range(ys);
    const px = (/** @type {number} */ x) => left + ((x - x0) / (x1 - x0)) * (right - left);
    const py = (/** @type {number} */ y) => bottom - ((y - y0) / (y1 - y0)) * (bottom - top);
    const ticks = (/** @type {number} */ low, /** @type {number} */ high, /** @type {number} */ count) => {
      const raw = (high - low) / count;
      const unit = 10 ** Math.floor(Math.log10(raw));
      const step = [1, 2, 5, 10].map((one) => one * unit).find((one) => one >= raw) ?? raw;
      const found = [];
      for (let at = Math.ceil(low / step) * step; at <= high; at += step) found.push(Number(at.toPrecision(10)));
      return found;
    };
    const line = (/** @type {number} */ fromX, /** @type {number} */ fromY, /** @type {number} */ toX, /** @type {number} */ toY) => {
      context.beginPath();
      context.moveTo(fromX, fromY);
      context.lineTo(toX, toY);
      context.stroke();
    };
    context.strokeStyle = css("--grid");
    context.fillStyle = css("--muted");
    context.textAlign = "center";
    const across = ticks(x0, x1, Math.max(2, width / 110));
    axisLabels(across).forEach((text, place) => {
      line(px(across[place]), top, px(across[place]), bottom);
      context.fillText(text, px(across[place]), bottom + 14);
  });
  context.fillText(xLabel, (left + right) / 2, bottom + 32);
  context.textAlign = "right";
  const up = ticks(y0, y1, Math.max(2, height / 60));
  axisLabels(up).forEach((text, place) => {
    line(left, py(up[place]), right, py(up[place]));
    context.fillText(text, left - 6, py(up[place]) + 4);
  });
  context.save();
  context.translate(11, (top + bottom) / 2);
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.fillText(yLabel, 0, 0);
  context.restore();
  context.save();
  context.beginPath();
  context.rect(left, top, right - left, bottom - top);
  context.clip();
  context.fillStyle = css("--c1");
  context.globalAlpha = answer.points.length > 1500 ? 0.22 : 0.4;
  for (const [x, y] of answer.points) context.fillRect(px(x) - 1.2, py(y) - 1.2, 2.4, 2.4);
  context.globalAlpha = 1;
  if (typeof answer.fit.slope === "number") {
    context.strokeStyle = css("--c2");
    context.lineWidth = 1.6;
    context.beginPath();
    for (const x of [x0, x1]) context.lineTo(px(x), py(answer.fit.level + answer.fit.slope * x));
    context.stroke();
  }
  context.strokeStyle = context.fillStyle = css("--c3");
  for (const one of answer.bins) {
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(px(one.x), py(one.q[0]));
    context.lineTo(px(one.x), py(one.q[2]));
    context.stroke();
    context.beginPath();
    context.arc(px(one.x), py(one.mean), 4, 0, 7);
    context.fill();
  }
  context.restore();
  });
}
