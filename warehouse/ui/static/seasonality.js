// A measure by weekday and hour, UTC: a heat map of means or medians.

import { get, shownGeneration } from "./api.js";
import { actions } from "./actions.js";
import { firstMeasure, measureChoice, seriesChoice } from "./choice.js";
import { css, fill, h, problem } from "./dom.js";
import { number } from "./format.js";
import { paintedCanvas, picturesIn } from "./pen.js";
import { measureText, note, parseMeasure } from "./route.js";
import { column as facts, rememberSeries, series, seriesLabel, seriesOf } from "./state.js";

const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/** @param {HTMLElement} view @param {import("./route.js").Route} route */
export async function open(view, route) {
  const stop = new AbortController();
  let of = seriesOf(route.id);
  let measure = /** @type {{ table: string, column: string }} */ (parseMeasure(route.query.get("p") ?? "") ?? await firstMeasure(of, (table, one) => !table.looks_ahead && one.unit === "ratio"));
  let what = route.query.get("of") === "median" ? "median" : "mean";
  const body = h("div", { class: "pad" });
  /** @type {any} */
  let answer = null;
  const kind = h("select", { "aria-label": "statistic", onchange: () => { what = kind.value; draw(); } }, ...["mean", "median"].map((name) => h("option", { value: name, selected: name === what }, name)));
  fill(view, h("div", { class: "bar" }, seriesChoice(of?.id, (id) => { of = /** @type {any} */ (series(id)); rememberSeries(id); load(); }), kind, "of",
    measureChoice(measure, (table, column) => { measure = { table, column }; load(); }, "measure"),
    actions({ question: () => answer && { sql: answer.sql, params: answer.params }, pictures: () => picturesIn(body), name: () => `seasonality_${measure.column}` })), body);

  async function load() {
    if (!of) return fill(body, h("p", { class: "empty" }, "This catalog has no series yet."));
    fill(body, h("p", { class: "busy" }, "computing …"));
    try {
      answer = await get("seasonality", { table: measure.table, column: measure.column, series: of.id }, stop.signal);
      draw();
    } catch (error) {
      if (/** @type {any} */ (error).name !== "AbortError") fill(body, problem(error));
    }
  }

  function draw() {
    if (!answer) return;
    note("seasonality", of.id, new URLSearchParams({ p: measureText({ ...measure, series: null }), of: what, g: String(shownGeneration()) }));
    if (!answer.rows.length) return fill(body, h("p", { class: "empty" }, `${seriesLabel(of)} has no values of ${measure.table}.${measure.column}.`));
    const rows = answer.rows.map((/** @type {any[]} */ row) => ({ weekday: row[0], hour: row[1], value: what === "mean" ? row[2] : row[3], count: row[4] }));
    const unit = facts(measure.table, measure.column)?.unit ?? "";
    fill(body, heat(body.clientWidth - 24, rows, unit === "none" ? "" : unit));
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

/**
 * Cells by weekday and hour, around their median: orange below it, blue above.
 * @param {number} room @param {{ weekday: number, hour: number, value: number, count: number }[]} cells @param {string} unit
 */
export function heat(room, cells, unit) {
  const sorted = cells.map((one) => one.value).filter((value) => typeof value === "number").sort((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)];
  const reach = Math.max(middle - sorted[0], sorted[sorted.length - 1] - middle) || 1;
  const left = 40;
  const size = Math.max(16, Math.min(46, (room - left) / 24));
  const [width, height] = [left + size * 24, 20 + size * 7];
  const canvas = paintedCanvas(width, height, (context) => {
    context.font = `12px ${css("--sans")}`;
    context.textBaseline = "middle";
    context.fillStyle = css("--muted");
    DAYS.forEach((day, place) => context.fillText(day, 4, 20 + (place + 0.5) * size));
    context.textAlign = "center";
    for (let hour = 0; hour < 24; hour += size < 26 ? 3 : 1) context.fillText(String(hour).padStart(2, "0"), left + (hour + 0.5) * size, 9);
    for (const one of cells) {
      if (typeof one.value !== "number") continue;
      const share = (one.value - middle) / reach;
      context.globalAlpha = 0.08 + 0.92 * Math.min(1, Math.abs(share));
      context.fillStyle = css(share < 0 ? "--low" : "--high");
      context.fillRect(left + one.hour * size, 20 + (one.weekday - 1) * size, size - 1, size - 1);
    }
    context.globalAlpha = 1;
  });
  const best = cells.reduce((a, b) => (b.value > a.value ? b : a));
  const least = cells.reduce((a, b) => (b.value < a.value ? b : a));
  const name = (/** @type {any} */ one) => `${DAYS[one.weekday - 1]} ${String(one.hour).padStart(2, "0")}:00 ${number(one.value)}`;
  const told = h("b", {}, " ");
  canvas.addEventListener("mousemove", (/** @type {MouseEvent} */ event) => {
    const box = canvas.getBoundingClientRect();
    const hour = Math.floor((event.clientX - box.left - left) / size);
    const day = Math.floor((event.clientY - box.top - 20) / size) + 1;
    const found = cells.find((one) => one.hour === hour && one.weekday === day);
    told.textContent = found ? `${name(found)} ${unit}, ${found.count} bars` : " ";
  });
  return h("div", {}, h("div", { class: "scale" },
    h("span", {}, h("i", { style: { background: css("--low") } }), `below the median cell, least ${name(least)}`),
    h("span", {}, h("i", { style: { background: css("--high") } }), `above it, highest ${name(best)} ${unit}`), told), canvas,
    h("p", {}, h("small", {}, "hour and weekday of the bar's start, UTC; in-sample")));
}
