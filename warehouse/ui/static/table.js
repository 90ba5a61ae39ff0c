// All series at one moment: of each the last row that was known then, sortable, with its course.

import { get, shownGeneration } from "./api.js";
import { actions } from "./actions.js";
import { css, fill, h, problem } from "./dom.js";
import { iso, seconds } from "./format.js";
import { tableOf } from "./results.js";
import { go, measureText, note } from "./route.js";
import { all, drawable, table, usualPanels, usualSeries } from "./state.js";

/** @param {HTMLElement} view @param {import("./route.js").Route} route */
export async function open(view, route) {
  const stop = new AbortController();
  const usual = usualSeries();
  const begun = usual ? (await usualPanels(usual))[0]?.[0].table : undefined;
  const tables = drawable().filter((one) => one.known_at);
  const mart = route.query.get("mart");
  const named = tables.find((one) => one.name === mart);
  if (mart && !named) throw { what: `${mart}: no table of bars in this generation`, next: "choose another one" };
  let chosen = named ?? tables.find((one) => one.name === begun) ?? tables[0];
  if (!chosen) {
    fill(view, h("p", { class: "empty" }, "This catalog has no table of bars yet."));
    return () => {};
  }
  const last = all().series.map((one) => one.until ?? "").sort().pop() ?? "";
  const body = h("div", { class: "pad" });
  const at = h("input", { class: "moment", "aria-label": "known at, UTC", value: route.query.get("at") || iso(seconds(last.slice(0, 16)) + 86400, "minute"), onchange: () => load() });
  const choice = h("select", { "aria-label": "table", onchange: () => { chosen = table(choice.value) ?? chosen; load(); } },
    ...tables.map((one) => h("option", { value: one.name, selected: one === chosen }, one.name)));
  /** @type {any} */
  let answer = null;
  /** @type {string[]} */
  let shown = [];
  let sorted = { column: -1, down: false };
  fill(view, h("div", { class: "bar" }, choice, h("label", {}, "as known at ", at), h("span", { class: "cursor" }, "UTC"),
    actions({ question: () => answer && { sql: answer.sql, params: answer.params }, name: () => "cross_section" })), body);

  async function load() {
    const moment = seconds(at.value);
    at.classList.toggle("wrong", Number.isNaN(moment));
    if (Number.isNaN(moment)) return fill(body, problem({ what: `${at.value}: not a time`, next: "write it as 2026-01-31 or 2026-01-31 12:00" }));
    note("table", "", new URLSearchParams({ mart: chosen.name, at: at.value, g: String(shownGeneration()) }));
    shown = chosen.columns.filter((one) => one.is_measure).slice(0, 14).map((one) => one.name);
    fill(body, h("p", { class: "busy" }, "reading …"));
    try {
      answer = await get("table", { table: chosen.name, at: iso(moment, "second"), column: shown }, stop.signal);
      draw();
    } catch (error) {
      if (/** @type {any} */ (error).name !== "AbortError") fill(body, problem(error));
    }
  }

  function draw() {
    const rows = [...answer.rows];
    if (sorted.column >= 0) rows.sort((a, b) => compare(a[sorted.column], b[sorted.column]) * (sorted.down ? -1 : 1));
    const id = answer.columns.findIndex((/** @type {any} */ one) => one.name === "series_id");
    fill(body, rows.length ? tableOf(answer.columns, rows, {
      sorted,
      onsort: (column) => { sorted = { column, down: sorted.column === column && !sorted.down }; draw(); },
      onrow: (row) => go("series", row[id], new URLSearchParams({ p: measureText({ table: chosen.name, column: shown[0], series: null }), g: String(shownGeneration()) })),
      extraName: shown[0],
      extra: (row) => spark(answer.courses?.[row[id]] ?? []),
    }) : h("p", { class: "empty" }, "No row was known at that moment."));
  }
  addEventListener("themed", draw);
  load();
  return () => {
    stop.abort();
    removeEventListener("themed", draw);
  };
}

/** @param {any} a @param {any} b */
function compare(a, b) {
  if (a === null) return b === null ? 0 : 1;
  if (b === null) return -1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A small line of the values before. @param {(number | null)[]} values */
function spark(values) {
  const known = /** @type {number[]} */ (values.filter((value) => typeof value === "number"));
  const canvas = h("canvas", { width: 180, height: 32, style: { width: "90px", height: "16px" } });
  if (known.length < 2) return canvas;
  const context = canvas.getContext("2d");
  const [low, high] = [Math.min(...known), Math.max(...known)];
  context.strokeStyle = css("--c2");
  context.lineWidth = 2;
  let isDown = false;
  values.forEach((value, place) => {
    if (typeof value !== "number") return void (isDown = false);
    const [x, y] = [2 + (place * 176) / (values.length - 1), 29 - ((value - low) / (high - low || 1)) * 26];
    if (isDown) context.lineTo(x, y);
    else context.moveTo(x, y);
    isDown = true;
  });
  context.stroke();
  return canvas;
}
