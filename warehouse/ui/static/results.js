// A result as a table of text, numbers to the right.

import { h } from "./dom.js";

const NUMBERS = /^(DOUBLE|FLOAT|DECIMAL|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?)/;

/** @typedef {{ name: string, type: string, unit: string | null, meaning: string | null }} ResultColumn */

/** @param {ResultColumn} column */
export function isNumber(column) {
  return NUMBERS.test(column.type);
}

/** @param {any} value @param {boolean} numeric */
export function cell(value, numeric) {
  if (value === null || value === undefined) return "·";
  if (numeric && typeof value === "number") {
    return Number.isInteger(value) ? value.toLocaleString("en-US") : Math.abs(value) >= 1e15 || Math.abs(value) < 1e-6 ? value.toExponential(6) : value.toLocaleString("en-US", { maximumSignificantDigits: 10 });
  }
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/**
 * @param {ResultColumn[]} columns @param {any[][]} rows
 * @param {{ onsort?: (column: number) => void, extra?: (row: any[]) => Node | null, extraName?: string, sorted?: { column: number, down: boolean }, onrow?: (row: any[]) => void, most?: number }} [options]
 */
export function tableOf(columns, rows, options = {}) {
  const numeric = columns.map(isNumber);
  const pressable = (/** @type {(() => void) | null} */ act) => act && { tabIndex: 0, onclick: act, onkeydown: (/** @type {KeyboardEvent} */ event) => event.key === "Enter" && act() };
  const head = columns.map((column, place) => {
    const order = options.sorted?.column === place ? (options.sorted.down ? "descending" : "ascending") : null;
    return h("th", { class: `${numeric[place] ? "n" : ""}${options.onsort ? " sort" : ""}`, title: column.meaning ?? column.type, "aria-sort": order, ...pressable(options.onsort ? () => options.onsort?.(place) : null) },
      column.name, order ? (order === "ascending" ? " ▲" : " ▼") : null, h("small", {}, column.unit ?? column.type.toLowerCase()));
  });
  const body = rows.slice(0, options.most ?? 5000).map((row) =>
    h("tr", { class: options.onrow ? "press" : "", ...pressable(options.onrow ? () => options.onrow?.(row) : null) },
      options.extra ? h("td", {}, options.extra(row)) : null,
      ...row.map((value, place) => h("td", { class: numeric[place] ? "n" : String(value).length > 60 ? "long" : "" }, cell(value, numeric[place])))));
  return h("table", {}, h("thead", {}, h("tr", {}, options.extra ? h("th", {}, options.extraName ?? "") : null, ...head)), h("tbody", {}, ...body));
}
