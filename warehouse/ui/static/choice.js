// Choosing a series and a measure, for the views that show one of each.

import { h } from "./dom.js";
import { all, drawable, filled, rank, seriesLabel } from "./state.js";

/** @param {number} chosen @param {(id: number) => void} act */
export function seriesChoice(chosen, act) {
  const select = h("select", { class: "series", "aria-label": "series", onchange: () => act(Number(select.value)) },
    ...all().series.map((one) => h("option", { value: String(one.id), selected: one.id === chosen }, seriesLabel(one))));
  return select;
}

/**
 * @param {{ table: string, column: string }} chosen @param {(table: string, column: string) => void} act
 * @param {string} label
 */
export function measureChoice(chosen, act, label) {
  const select = h("select", { class: "series narrow", "aria-label": label, onchange: () => {
    const [table, column] = JSON.parse(select.value);
    act(table, column);
  } }, ...drawable().map((table) => h("optgroup", { label: table.looks_ahead ? `${table.name} (looks ahead)` : table.name },
    ...table.columns.filter((one) => one.is_measure).map((one) =>
      h("option", { value: JSON.stringify([table.name, one.name]), title: one.meaning ?? "", selected: table.name === chosen.table && one.name === chosen.column }, one.name)))));
  return select;
}

/**
 * The first measure that satisfies a condition and has values in a series, tables without look-ahead first.
 * @param {import("./state.js").Series | undefined} of @param {(table: import("./state.js").Table, column: import("./state.js").Column) => boolean} fits
 */
export async function firstMeasure(of, fits) {
  const tables = [...drawable()].sort((a, b) => Number(a.name.includes(".")) - Number(b.name.includes(".")) || rank(a) - rank(b));
  for (const table of tables) {
    const columns = table.columns.filter((one) => one.is_measure && fits(table, one)).map((one) => one.name).slice(0, 32);
    const held = of ? await filled(table.name, of.id, columns) : [];
    const column = columns.find((name) => held.includes(name));
    if (column) return { table: table.name, column };
  }
  const any = tables[0];
  return { table: any?.name ?? "", column: any?.columns.find((one) => one.is_measure)?.name ?? "" };
}
