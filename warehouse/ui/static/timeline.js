// What views over time share: a series, a span of time, panels with one cursor, and keys.

import { shownGeneration } from "./api.js";
import { moment } from "./chart.js";
import { seriesChoice } from "./choice.js";
import { debounced, fill, h, problem } from "./dom.js";
import { counted, duration, iso, seconds } from "./format.js";
import { note } from "./route.js";
import { column, rememberSeries, series, seriesLabel } from "./state.js";
import { joined, levelOf, pointsOf, source } from "./tiles.js";

/**
 * @typedef {import("./chart.js").Panel} Panel
 * @typedef {import("./route.js").Measure} Measure
 * @typedef {import("./tiles.js").Points} Points
 * @typedef {{ table: string, series: number, columns: Set<string> }} Wanted
 * @typedef {{ table: string, series: number, source: import("./tiles.js").Source, points: Points }} Held
 */

const DEBOUNCE_MS = 60;
const RANGES = [["1d", 86400], ["1w", 604800], ["1m", 2592000], ["3m", 7776000], ["1y", 31536000], ["all", Infinity]];

/** A view builds its elements, then calls `begin`; it says what it measures and how it is drawn. */
export class Timeline {
  /** @param {string} page @param {import("./state.js").Series} chosen @param {URLSearchParams} query */
  constructor(page, chosen, query) {
    this.page = page;
    this.series = chosen;
    rememberSeries(chosen.id);
    /** @type {[number, number] | null} */
    this.span = null;
    const [from, to] = [query.get("from"), query.get("to")];
    if (from !== null || to !== null) {
      this.span = [seconds(from ?? ""), seconds(to ?? "")];
      if (!(this.span[0] < this.span[1])) throw { what: `from ${from} to ${to}: not a span of time`, next: "write both as 2026-01-31 or 2026-01-31 12:00" };
    }
    /** @type {[number, number]} */
    this.whole = [0, 1];
    this.asked = 0;
    /** Seconds at the end with which a view begins; 0 for all. */
    this.beginning = 0;
    this.hasRight = false;
    this.begun = Promise.resolve();
    this.stop = new AbortController();
    /** @type {Panel[]} */
    this.drawn = [];
    this.load = debounced(() => this.fetch(), DEBOUNCE_MS);
    this.from = h("input", { class: "moment", "aria-label": "from, UTC", placeholder: "from", onchange: () => this.typedSpan() });
    this.until = h("input", { class: "moment", "aria-label": "until, UTC", placeholder: "until", onchange: () => this.typedSpan() });
    this.ranges = h("span", { class: "ranges" }, this.from, "–", this.until,
      ...RANGES.map(([name, size]) => h("button", { class: "quiet", onclick: () => this.range(Number(size)) }, name)));
    this.choice = seriesChoice(chosen.id, (id) => this.choose(id));
    this.charts = h("div", { class: "charts" });
    this.charts.addEventListener("at", (/** @type {CustomEvent} */ event) => (this.cursor.textContent = moment(event.detail)));
    this.label = h("span", { id: "label" });
    this.cursor = h("span", { class: "cursor" });
    this.status = h("div", { class: "status" }, this.label, this.cursor);
    this.repaint = () => this.drawn.forEach((panel) => panel.repaint());
    this.typed = (/** @type {KeyboardEvent} */ event) => this.key(event);
    this.observer = new ResizeObserver(debounced(() => this.layout(), 50));
  }

  begin() {
    addEventListener("themed", this.repaint);
    addEventListener("keydown", this.typed);
    this.observer.observe(this.charts);
    this.begun = this.arrange();
    return () => this.close();
  }

  close() {
    this.stop.abort();
    this.observer.disconnect();
    removeEventListener("themed", this.repaint);
    removeEventListener("keydown", this.typed);
    this.drawn.forEach((panel) => panel.destroy());
  }

  // -- what a view says of itself

  /** Build the panels and load them. */
  async arrange() {}

  /** The measures of each panel. @returns {Measure[][]} */
  measures() {
    return [];
  }

  /** The unit of a measure, each with an axis of its own. @param {Measure} measure @returns {string | null} */
  unit(measure) {
    return column(measure.table, measure.column)?.unit ?? null;
  }

  /** Heights of the panels. @returns {number[]} */
  heights() {
    return [];
  }

  /** @param {Panel} _panel @param {number} _place @param {Held[]} _tables @param {[number, number]} _span */
  drawPanel(_panel, _place, _tables, _span) {}

  /** What the link holds besides the span. @returns {URLSearchParams} */
  noted() {
    return new URLSearchParams();
  }

  // -- series and span

  /** @param {number} id */
  choose(id) {
    const next = series(id);
    if (!next) return;
    this.series = next;
    rememberSeries(id);
    this.arrange();
  }

  layout() {
    const heights = this.heights();
    this.drawn.forEach((panel, place) => {
      panel.height = heights[place];
      panel.resize();
    });
    this.load();
  }

  /** @param {[number, number]} span @param {boolean} final */
  move(span, final) {
    const [low, high] = this.whole;
    const size = Math.min(Math.max(span[1] - span[0], 2), (high - low) * 1.1);
    if (!Number.isFinite(size) || size >= high - low) this.span = null;
    else {
      const start = Math.min(Math.max(span[0], low - size / 2), high - size / 2);
      this.span = [start, start + size];
    }
    const shown = this.span ?? this.whole;
    for (const panel of this.drawn) {
      if (panel.drawing) panel.drawing.span = shown;
      panel.plot?.setScale("x", { min: shown[0], max: shown[1] });
    }
    this.showSpan();
    if (final) this.fetch();
    else this.load();
  }

  /** @param {number} size */
  range(size) {
    const end = this.span ? this.span[1] : this.whole[1];
    this.move(size === Infinity ? [-Infinity, Infinity] : [Math.min(end, this.whole[1]) - size, Math.min(end, this.whole[1])], true);
  }

  typedSpan() {
    const from = this.from.value ? seconds(this.from.value) : this.whole[0];
    const until = this.until.value ? seconds(this.until.value) : this.whole[1];
    const isWrong = !(from < until);
    this.from.classList.toggle("wrong", isWrong);
    this.until.classList.toggle("wrong", isWrong);
    if (!isWrong) this.move([from, until], true);
  }

  showSpan() {
    const [from, until] = this.span ?? this.whole;
    if (document.activeElement !== this.from) this.from.value = iso(from);
    if (document.activeElement !== this.until) this.until.value = iso(until);
    this.note();
  }

  note() {
    const query = this.noted();
    if (this.span) {
      query.set("from", iso(this.span[0], "second"));
      query.set("to", iso(this.span[1], "second"));
    }
    query.set("g", String(shownGeneration()));
    note(this.page, this.series.id, query);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const on = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(on.tagName) || document.querySelector("dialog[open]")) return;
    const act = this.keys()[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** @returns {Record<string, () => void>} */
  keys() {
    const [from, until] = this.span ?? this.whole;
    const size = until - from;
    return {
      ArrowLeft: () => this.move([from - size / 5, until - size / 5], false),
      ArrowRight: () => this.move([from + size / 5, until + size / 5], false),
      "+": () => this.move([from + size / 5, until - size / 5], false),
      "-": () => this.move([from - size / 3, until + size / 3], false),
      0: () => this.move([-Infinity, Infinity], true),
    };
  }

  // -- points

  /** Load the points of the span, unless another load has begun meanwhile. */
  async fetch() {
    const turn = ++this.asked;
    const { signal } = this.stop;
    this.status.classList.add("loading");
    try {
      const wanted = this.wanted();
      const found = await Promise.all(wanted.map(async (one) => ({ ...one, source: await source(one.table, one.series) })));
      if (turn !== this.asked) return;
      const held = found.filter((one) => one.source.rows > 0);
      if (!held.length) throw { what: `${seriesLabel(this.series)} has no rows in ${[...new Set(found.map((one) => one.table))].join(", ") || "any panel"}.`, next: "choose another measure or series" };
      this.whole = [Math.min(...held.map((one) => one.source.first)), Math.max(...held.map((one) => one.source.last + one.source.step))];
      if (this.beginning && !this.span) this.span = [Math.max(this.whole[0], this.whole[1] - this.beginning), this.whole[1]];
      this.beginning = 0;
      this.hasRight = this.measures().some((panel) => new Set(panel.map((one) => this.unit(one) ?? "")).size > 1);
      const span = this.span ?? this.whole;
      const pixels = Math.max(200, this.drawn[0]?.pixels ?? 800);
      const tables = await Promise.all(held.map(async (one) => {
        const level = levelOf(Math.min(span[1], one.source.last) - Math.max(span[0], one.source.first), one.source.step, pixels);
        return { ...one, points: await pointsOf(one.table, one.series, [...one.columns], one.source, span, level, signal) };
      }));
      if (turn !== this.asked) return;
      this.drawn.forEach((panel, place) => this.drawPanel(panel, place, tables, span));
      this.showSpan();
      this.tell(tables);
    } catch (error) {
      if (turn !== this.asked || /** @type {any} */ (error).name === "AbortError") return;
      fill(this.label, problem(error));
    } finally {
      if (turn === this.asked) this.status.classList.remove("loading");
    }
  }

  /** The tables and series that the panels need, each with its columns. @returns {Wanted[]} */
  wanted() {
    /** @type {Map<string, Wanted>} */
    const wanted = new Map();
    for (const one of this.measures().flat()) {
      const id = one.series ?? this.series.id;
      const key = `${id} ${one.table}`;
      const held = wanted.get(key) ?? { table: one.table, series: id, columns: new Set() };
      held.columns.add(one.column);
      wanted.set(key, held);
    }
    return [...wanted.values()];
  }

  /** The values of measures on one x. @param {Measure[]} measures @param {Held[]} tables */
  values(measures, tables) {
    const placed = (/** @type {Measure} */ measure, /** @type {Held} */ one) => measure.table === one.table && (measure.series ?? this.series.id) === one.series;
    const used = tables.filter((one) => measures.some((measure) => placed(measure, one)));
    const joint = joined(used.map((one) => one.points));
    const columns = measures.map((measure) => {
      const at = used.findIndex((one) => placed(measure, one));
      return at < 0 ? null : joint.column(at, measure.column);
    });
    return { x: joint.x, columns, gaps: used.length ? used[0].points.gaps : [] };
  }

  /** Say what is shown. @param {Held[]} tables */
  tell(tables) {
    const first = tables[0];
    const { level, step, gaps, rows } = first.points;
    const what = level === 0
      ? first.source.on_grid ? "every bar" : "every row"
      : `first, low, high, last of ${first.source.on_grid ? counted(2 ** level, "bar") : duration(step * 2 ** level)} per bucket`;
    const missing = gaps.length ? `, tinted: bars are missing (${counted(gaps.length, level ? "bucket span" : "gap")})` : "";
    const clipped = rows === 0 ? "no rows in this span" : `${what}${missing}`;
    fill(this.label, `${clipped} · a point is at the start of its bar, UTC; its value was known at the end`);
  }

  /** The query behind the charts: all measures of the series by time. */
  question() {
    const parts = this.wanted().filter((found) => found.series === this.series.id);
    if (!parts.length) return null;
    const letter = (/** @type {number} */ place) => (parts.length === 1 ? "" : `${String.fromCharCode(97 + place)}.`);
    const columns = parts.flatMap((part, place) => [...part.columns].map((name) => `${letter(place)}${quoted(name)}`));
    const from = parts.map((part, place) => (parts.length === 1 ? tableName(part.table) : place === 0 ? `${tableName(part.table)} as a` : `left join ${tableName(part.table)} as ${letter(place).slice(0, 1)} using (series_id, time)`)).join("\n");
    /** @type {Record<string, any>} */
    const params = { symbol: this.series.symbol, exchange: this.series.exchange };
    const conditions = [`${letter(0)}symbol = $symbol`, `${letter(0)}exchange = $exchange`];
    for (const name of /** @type {("interval" | "clock")[]} */ (["interval", "clock"])) {
      if (this.series[name] === null) continue;
      params[name] = this.series[name];
      conditions.push(`${letter(0)}"${name}" = $${name}`);
    }
    if (this.span) {
      Object.assign(params, { start: iso(this.span[0], "second"), end: iso(this.span[1], "second") });
      conditions.push("time >= $start", "time < $end");
    }
    return { sql: `select time, ${columns.join(", ")}\nfrom ${from}\nwhere ${conditions.join("\n    and ")}\norder by time`, params };
  }
}

/** @param {string} name */
export function quoted(name) {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

/** @param {string} name */
export function tableName(name) {
  return name.split(".").map(quoted).join(".");
}
