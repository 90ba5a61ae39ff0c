// Which tiles a view needs, and their points as one table.

import { get, points } from "./api.js";

const BUCKETS = 512;

/** @typedef {{ rows: number, first: number, last: number, step: number, on_grid: boolean }} Source */
/** @typedef {{ x: number[], columns: Record<string, (number | null)[]>, gaps: [number, number][], rows: number, level: number, step: number }} Points */

/** @type {Map<string, Promise<any>>} */
const kept = new Map();
const MOST_KEPT = 600;

/** Forget all that was kept, for another generation. */
export function forget() {
  kept.clear();
}

/**
 * @template T
 * @param {string} key
 * @param {() => Promise<T>} make
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
function once(key, make, signal) {
  const held = kept.get(key);
  if (held) return held;
  const made = make();
  kept.set(key, made);
  const drop = () => kept.delete(key);
  signal?.addEventListener("abort", drop);
  made.then(() => signal?.removeEventListener("abort", drop), drop);
  if (kept.size > MOST_KEPT) kept.delete(/** @type {string} */ (kept.keys().next().value));
  return made;
}

/** Where a series lies in a table. @param {string} table @param {number} series @returns {Promise<Source>} */
export function source(table, series) {
  return once(`source ${series} ${table}`, () => get("series", { table, series }));
}

/**
 * The level at which a span has about one bucket per pixel; 0, every row, below two rows per pixel.
 * @param {number} span seconds @param {number} step seconds @param {number} pixels
 */
export function levelOf(span, step, pixels) {
  const rows = span / step / Math.max(pixels, 50);
  return rows <= 2 ? 0 : Math.ceil(Math.log2(rows));
}

/**
 * Points of columns of one series of a table within a span.
 * @param {string} table @param {number} series @param {string[]} columns
 * @param {Source} from @param {[number, number]} span @param {number} level
 * @param {AbortSignal} [signal]
 * @returns {Promise<Points>}
 */
export async function pointsOf(table, series, columns, from, span, level, signal) {
  const width = from.step * 2 ** level * BUCKETS;
  const low = Math.floor(Math.max(span[0], from.first) / width);
  const high = Math.floor(Math.min(span[1], from.last) / width);
  const column = [...columns].sort();
  const wanted = [];
  for (let tile = low; tile <= high; tile += 1) {
    const key = `tile ${series} ${level} ${tile} ${table} ${column.join("\n")}`;
    wanted.push(once(key, () => points({ table, series, column, level, tile }, signal), signal));
  }
  const tiles = await Promise.all(wanted);
  /** @type {Points} */
  const made = { x: [], columns: {}, gaps: [], rows: 0, level, step: from.step };
  for (const name of columns) made.columns[name] = [];
  for (const tile of tiles) {
    for (const at of tile.x) made.x.push(at);
    for (const name of columns) {
      const into = made.columns[name];
      for (const value of tile.columns[name]) into.push(Number.isNaN(value) ? null : value);
    }
    made.gaps.push(...tile.head.gaps);
    made.rows += tile.head.rows;
  }
  return made;
}

/**
 * Columns of several tables on one x; a point that one of them lacks is undefined, over which its
 * line goes on, while null, a missing value, breaks it.
 * @param {Points[]} tables
 * @returns {{ x: number[], column: (table: number, name: string) => (number | null | undefined)[] }}
 */
export function joined(tables) {
  if (tables.every((one) => same(one.x, tables[0].x))) {
    return { x: tables[0]?.x ?? [], column: (table, name) => tables[table].columns[name] };
  }
  const x = [...new Set(tables.flatMap((one) => one.x))].sort((a, b) => a - b);
  const places = new Map(x.map((at, place) => [at, place]));
  const column = (/** @type {number} */ table, /** @type {string} */ name) => {
    const values = new Array(x.length).fill(undefined);
    tables[table].x.forEach((at, place) => (values[/** @type {number} */ (places.get(at))] = tables[table].columns[name][place]));
    return values;
  };
  return { x, column };
}

/** @param {number[]} a @param {number[]} b */
function same(a, b) {
  return a.length === b.length && a[0] === b[0] && a[a.length - 1] === b[b.length - 1] && a.every((at, place) => at === b[place]);
}
