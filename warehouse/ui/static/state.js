// What all views share: the catalog of the generation, and look-ups in it.

import { get } from "./api.js";

/**
 * @typedef {{ name: string, type: string, unit: string | null, meaning: string | null, is_measure: boolean }} Column
 * @typedef {{ name: string, meaning: string, looks_ahead: boolean, has_bars: boolean, has_data: boolean, known_at: boolean, columns: Column[] }} Table
 * @typedef {{ id: number, exchange: string, symbol: string, interval: string | null, clock: string | null, datasets: string[], from: string | null, until: string | null }} Series
 * @typedef {{ generation: number, built_at: string, current: number, first: number, kept: any[], tables: Table[], names: string[], series: Series[] }} Catalog
 */

/** @type {Catalog} */
let catalog;

/** @param {Catalog} found */
export function setCatalog(found) {
  catalog = found;
}

export function all() {
  return catalog;
}

/** @param {string} name @returns {Table | undefined} */
export function table(name) {
  return catalog.tables.find((one) => one.name === name);
}

/** @param {string} name @param {string} column @returns {Column | undefined} */
export function column(name, column) {
  return table(name)?.columns.find((one) => one.name === column);
}

/** Tables whose measures can be drawn over time. */
export function drawable() {
  return catalog.tables.filter((one) => one.has_data && one.has_bars && one.columns.some((column) => column.is_measure));
}

/** @param {number} id @returns {Series | undefined} */
export function series(id) {
  return catalog.series.find((one) => one.id === id);
}

/** The series that a link names, which must be there; the usual one if it names none. @param {string} id */
export function seriesOf(id) {
  const found = id === "" ? usualSeries() : series(Number(id));
  if (id !== "" && !found) throw { what: `generation ${catalog.generation} has no series ${id}`, next: "choose one in another view, or another generation" };
  return /** @type {Series} */ (found);
}

/** @param {Series | undefined} one */
export function seriesLabel(one) {
  if (!one) return "no series";
  return [one.symbol, one.interval, one.clock, one.exchange].filter(Boolean).join(" · ");
}

/** The series shown last, else the first of the longest bars with data. */
export function usualSeries() {
  const before = Number(sessionStorage.getItem("warehouse.series"));
  return series(before) ?? catalog.series.find((one) => one.interval === "1h") ?? catalog.series[0];
}

/** @param {number} id */
export function rememberSeries(id) {
  sessionStorage.setItem("warehouse.series", String(id));
}

/** Which of some columns have a value in a series. @param {string} table @param {number} series @param {string[]} columns @returns {Promise<string[]>} */
export async function filled(table, series, columns) {
  if (!columns.length) return [];
  return (await get("filled", { table, series, column: columns })).columns;
}

/** Whether a unit is that of a price. @param {Column} one */
function isPrice(one) {
  return one.unit === "quote/base";
}

/** A close before a midprice before other prices. @param {Column} one */
function preference(one) {
  return one.name === "close" ? 2 : one.name === "midprice" ? 1 : 0;
}

/** Tables with a close before others, the small ones first. @param {Table} one */
export function rank(one) {
  return one.columns.length + (one.columns.some((column) => column.name === "close") ? 0 : 1000);
}

/**
 * The panels that a series begins with, of the first table that has values: a price, with its bid and
 * ask, and the first other measure.
 * @param {Series} of
 * @returns {Promise<import("./route.js").Measure[][]>}
 */
export async function usualPanels(of) {
  const tables = drawable().filter((one) => !one.looks_ahead && !one.name.startsWith("vendor."));
  const vendor = drawable().filter((one) => of.datasets.includes(one.name.replace(/^vendor\./, "")));
  const priced = tables.filter((one) => one.columns.some(isPrice)).sort((a, b) => rank(a) - rank(b));
  for (const one of [...priced, ...vendor, ...tables]) {
    const measures = one.columns.filter((column) => column.is_measure);
    const prices = measures.filter(isPrice).sort((a, b) => preference(b) - preference(a));
    const others = measures.filter((column) => !isPrice(column));
    const held = await filled(one.name, of.id, [...prices.slice(0, 4), ...others.slice(0, 4)].map((column) => column.name));
    const price = prices.find((column) => held.includes(column.name))?.name;
    const other = others.find((column) => held.includes(column.name))?.name;
    const sides = price === "midprice" ? ["ask_price", "bid_price"].filter((name) => held.includes(name)) : [];
    const panels = [price ? [...sides, price] : [], other ? [other] : []].filter((panel) => panel.length);
    if (panels.length) return panels.map((panel) => panel.map((column) => ({ table: one.name, column, series: null })));
  }
  return [];
}
