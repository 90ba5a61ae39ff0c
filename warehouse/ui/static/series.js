// Measures of a series over time: panels with one cursor, zoom and pan over any number of bars.

import { shownGeneration } from "./api.js";
import { actions } from "./actions.js";
import { COLOURS, moment, Panel } from "./chart.js";
import { debounced, fill, h, problem } from "./dom.js";
import { counted, duration, iso, seconds } from "./format.js";
import { measureText, note, panelsOf } from "./route.js";
import { all, column, drawable, rememberSeries, series, seriesLabel, table, usualPanels, usualSeries } from "./state.js";
import { joined, levelOf, pointsOf, source } from "./tiles.js";

/** @typedef {import("./route.js").Measure} Measure */

const DEBOUNCE_MS = 60;
const RANGES = [["1d", 86400], ["1w", 604800], ["1m", 2592000], ["3m", 7776000], ["1y", 31536000], ["all", Infinity]];

/** @param {HTMLElement} view @param {import("./route.js").Route} route */
export function open(view, route) {
  const chosen = series(Number(route.id)) ?? usualSeries();
  if (!chosen) {
    fill(view, h("p", { class: "empty" }, "This catalog has no series yet. Run: warehouse update"));
    return () => {};
  }
  return new SeriesView(view, chosen, route.query).close;
}

class SeriesView {
  /** @param {HTMLElement} view @param {import("./state.js").Series} chosen @param {URLSearchParams} query */
  constructor(view, chosen, query) {
    this.series = chosen;
    rememberSeries(chosen.id);
    const given = panelsOf(query);
    /** @type {Measure[][]} */
    this.panels = given.length ? given : usualPanels(chosen).map((panel) => panel.map((one) => ({ ...one, series: null })));
    /** @type {[number, number] | null} */
    this.span = null;
    const [from, to] = [seconds(query.get("from") ?? ""), seconds(query.get("to") ?? "")];
    if (from < to) this.span = [from, to];
    /** @type {[number, number]} */
    this.whole = [0, 1];
    this.log = query.get("log") === "1";
    this.asked = 0;
    this.stop = new AbortController();
    /** @type {Panel[]} */
    this.drawn = [];
    this.load = debounced(() => this.fetch(), DEBOUNCE_MS);
    this.close = () => {
      this.stop.abort();
      this.observer.disconnect();
      removeEventListener("themed", this.repaint);
      removeEventListener("keydown", this.typed);
      this.drawn.forEach((panel) => panel.destroy());
    };
    this.repaint = () => this.drawn.forEach((panel) => panel.repaint());
    addEventListener("themed", this.repaint);
    this.typed = (/** @type {KeyboardEvent} */ event) => this.key(event);
    addEventListener("keydown", this.typed);
    this.build(view);
    this.observer = new ResizeObserver(debounced(() => this.layout(), 50));
    this.observer.observe(this.charts);
    this.arrange();
  }

  /** @param {HTMLElement} view */
  build(view) {
    const choice = h("select", { class: "series", "aria-label": "series", onchange: () => this.choose(Number(choice.value)) },
      ...all().series.map((one) => h("option", { value: String(one.id), selected: one.id === this.series.id }, seriesLabel(one))));
    this.from = h("input", { class: "moment", "aria-label": "from, UTC", placeholder: "from", onchange: () => this.typedSpan() });
    this.until = h("input", { class: "moment", "aria-label": "until, UTC", placeholder: "until", onchange: () => this.typedSpan() });
    const ranges = RANGES.map(([name, size]) => h("button", { class: "quiet", onclick: () => this.range(Number(size)) }, name));
    const log = h("button", { class: this.log ? "quiet on" : "quiet", title: "logarithmic scale (l)", onclick: () => this.toggleLog() }, "log");
    this.logButton = log;
    this.bar = h("div", { class: "bar" }, choice, h("span", { class: "ranges" }, this.from, "–", this.until, ...ranges, log),
      actions({ question: () => this.question(), canvases: () => this.drawn.map((panel) => panel.plot?.ctx.canvas).filter(Boolean), name: () => `${this.series.symbol} ${this.series.interval}`.replace(/[^\w-]+/g, "_") }));
    this.charts = h("div", { class: "charts" });
    this.charts.addEventListener("at", (/** @type {CustomEvent} */ event) => (this.cursor.textContent = moment(event.detail)));
    this.label = h("span", { id: "label" });
    this.cursor = h("span", { class: "cursor" });
    this.status = h("div", { class: "status" }, this.label, this.cursor);
    this.side = h("aside", {}, this.menu());
    fill(view, this.bar, h("div", { class: "split" }, this.side, h("section", { class: "grow" }, this.charts, this.status)));
  }

  /** The measures of all tables, to be searched, with a click for each. */
  menu() {
    const search = h("input", { type: "search", class: "search", placeholder: "measure … ( / )", "aria-label": "search measures", oninput: () => this.filter(search.value) });
    this.search = search;
    this.list = h("div", { class: "measures" });
    for (const one of drawable()) {
      const dataset = /^vendor\.(.*)$/.exec(one.name);
      if (dataset && !this.series.datasets.includes(dataset[1])) continue;
      const rows = one.columns.filter((found) => found.is_measure).map((found) => {
        const title = `${found.meaning ?? ""}${found.unit ? ` [${found.unit}]` : ""}`;
        const row = h("div", { class: "measure", title, "data-text": `${one.name}.${found.name} ${found.meaning ?? ""}`.toLowerCase() },
          h("button", { class: "name", title: `${title}\na panel of its own`, onclick: () => this.add(one.name, found.name) }, found.name),
          found.unit ? h("small", {}, found.unit) : null,
          h("button", { class: "quiet plus", title: "lay over the last panel", "aria-label": `lay ${found.name} over the last panel`, onclick: () => this.overlay(one.name, found.name) }, "+"));
        return row;
      });
      const used = this.panels.flat().some((measure) => measure.table === one.name);
      this.list.append(h("details", { open: used, "data-table": one.name },
        h("summary", { title: one.meaning }, one.name, one.looks_ahead ? h("em", { class: "ahead" }, " looks ahead") : null), ...rows));
    }
    return h("div", {}, search, this.list);
  }

  /** @param {string} text */
  filter(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    for (const group of this.list.querySelectorAll("details")) {
      let found = 0;
      for (const row of group.querySelectorAll(".measure")) {
        const fits = words.every((word) => row.getAttribute("data-text")?.includes(word));
        row.hidden = !fits;
        found += fits ? 1 : 0;
      }
      group.hidden = !found;
      if (words.length) group.open = found > 0;
    }
  }

  /** @param {number} id */
  choose(id) {
    const next = series(id);
    if (!next) return;
    this.series = next;
    rememberSeries(id);
    fill(this.side, this.menu());
    this.arrange();
  }

  /** @param {string} table @param {string} column */
  add(table, column) {
    this.panels.push([{ table, column, series: null }]);
    this.arrange();
  }

  /** @param {string} table @param {string} column @param {number} [panel] */
  overlay(table, column, panel = this.panels.length - 1) {
    (this.panels[panel] ??= []).push({ table, column, series: null });
    this.arrange();
  }

  toggleLog() {
    this.log = !this.log;
    this.logButton.classList.toggle("on", this.log);
    this.note();
    this.load();
  }

  /** Build the panels and load them. */
  async arrange() {
    this.note();
    this.drawn.forEach((panel) => panel.destroy());
    this.charts.replaceChildren();
    const heights = this.heights();
    this.drawn = this.panels.map((panel, place) => {
      const looks = panel.some((one) => table(one.table)?.looks_ahead);
      const title = [...new Set(panel.map((one) => one.table))].join(", ");
      const others = h("select", { class: "quiet", "aria-label": "lay another series over this panel", onchange: () => this.besides(place, Number(others.value)) },
        h("option", { value: "" }, "+ series"), ...all().series.filter((one) => one.id !== this.series.id).map((one) => h("option", { value: String(one.id) }, seriesLabel(one))));
      const drop = h("button", { class: "quiet", title: "remove this panel", "aria-label": "remove this panel", onclick: () => this.remove(place) }, "✕");
      const up = place ? h("button", { class: "quiet", title: "move up", "aria-label": "move this panel up", onclick: () => this.swap(place) }, "↑") : null;
      const head = h("div", { class: "head" }, h("b", {}, title), looks ? h("em", { class: "ahead" }, "looks ahead: a label, known only later") : null, h("span", { class: "grow" }), others, up, drop);
      const box = h("div", { class: looks ? "panel label" : "panel" }, head);
      this.charts.append(box);
      const made = new Panel(box, { sync: "series", height: heights[place], axis: place === this.panels.length - 1, onSpan: (span, final) => this.move(span, final) });
      head.insertBefore(made.legend, head.children[1]);
      return made;
    });
    if (!this.panels.length) fill(this.charts, h("p", { class: "empty" }, "Choose a measure from the list."));
    await this.fetch();
  }

  heights() {
    const count = Math.max(1, this.panels.length);
    const room = Math.max(120 * count, innerHeight - this.charts.getBoundingClientRect().top - 34 - 27 * count);
    const weights = this.panels.map((_, place) => (place === 0 && count > 1 ? 1.5 : 1));
    const sum = weights.reduce((a, b) => a + b, 0);
    return weights.map((weight) => Math.max(96, Math.floor((room * weight) / sum)));
  }

  layout() {
    const heights = this.heights();
    this.drawn.forEach((panel, place) => {
      panel.height = heights[place];
      panel.resize();
    });
    this.load();
  }

  /** @param {number} place @param {number} id */
  besides(place, id) {
    if (!series(id)) return;
    const panel = this.panels[place];
    panel.push(...panel.filter((one) => one.series === null).map((one) => ({ ...one, series: id })));
    this.arrange();
  }

  /** @param {number} place */
  remove(place) {
    this.panels.splice(place, 1);
    this.arrange();
  }

  /** @param {number} place */
  swap(place) {
    [this.panels[place - 1], this.panels[place]] = [this.panels[place], this.panels[place - 1]];
    this.arrange();
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
    const query = new URLSearchParams();
    for (const panel of this.panels) query.append("p", panel.map(measureText).join(","));
    if (this.span) {
      query.set("from", iso(this.span[0], "second"));
      query.set("to", iso(this.span[1], "second"));
    }
    if (this.log) query.set("log", "1");
    query.set("g", String(shownGeneration()));
    note("series", this.series.id, query);
  }

  /** Load the points of the span, unless another load has begun meanwhile. */
  async fetch() {
    const turn = ++this.asked;
    const { signal } = this.stop;
    this.status.classList.add("loading");
    try {
      const wanted = this.sources();
      const found = await Promise.all([...wanted.values()].map(async (one) => ({ ...one, source: await source(one.table, one.series) })));
      if (turn !== this.asked) return;
      const held = found.filter((one) => one.source.rows > 0);
      if (!held.length) throw { what: `${seriesLabel(this.series)} has no rows in ${[...new Set(found.map((one) => one.table))].join(", ") || "any panel"}.`, next: "choose another measure or series" };
      this.whole = [Math.min(...held.map((one) => one.source.first)), Math.max(...held.map((one) => one.source.last + one.source.step))];
      const span = this.span ?? this.whole;
      const pixels = Math.max(200, this.drawn[0]?.pixels ?? 800);
      const tables = await Promise.all(held.map(async (one) => {
        const level = levelOf(Math.min(span[1], one.source.last) - Math.max(span[0], one.source.first), one.source.step, pixels);
        return { ...one, points: await pointsOf(one.table, one.series, [...one.columns], one.source, span, level, signal) };
      }));
      if (turn !== this.asked) return;
      this.drawn.forEach((panel, place) => this.drawPanel(panel, this.panels[place], tables, span));
      this.showSpan();
      this.tell(tables);
    } catch (error) {
      if (turn !== this.asked || /** @type {any} */ (error).name === "AbortError") return;
      fill(this.label, problem(error));
    } finally {
      if (turn === this.asked) this.status.classList.remove("loading");
    }
  }

  /** The tables and series that the panels need, each with its columns. */
  sources() {
    /** @type {Map<string, { table: string, series: number, columns: Set<string> }>} */
    const wanted = new Map();
    for (const one of this.panels.flat()) {
      const id = one.series ?? this.series.id;
      const key = `${id} ${one.table}`;
      const held = wanted.get(key) ?? { table: one.table, series: id, columns: new Set() };
      held.columns.add(one.column);
      wanted.set(key, held);
    }
    return wanted;
  }

  /** @param {Panel} panel @param {Measure[]} measures @param {any[]} tables @param {[number, number]} span */
  drawPanel(panel, measures, tables, span) {
    const used = tables.filter((one) => measures.some((measure) => measure.table === one.table && (measure.series ?? this.series.id) === one.series));
    const joint = joined(used.map((one) => one.points));
    /** @type {import("./chart.js").Line[]} */
    const lines = [];
    measures.forEach((measure, place) => {
      const at = used.findIndex((one) => measure.table === one.table && (measure.series ?? this.series.id) === one.series);
      if (at < 0) return;
      const other = measure.series === null ? "" : ` ${seriesLabel(series(measure.series))}`;
      lines.push({ label: `${measure.column}${other}`, unit: column(measure.table, measure.column)?.unit ?? null, values: joint.column(at, measure.column), colour: COLOURS[place % COLOURS.length] });
    });
    const gaps = used.length ? used[0].points.gaps : [];
    panel.draw({ x: joint.x, lines, gaps, span, bands: bands(lines), log: this.log && lines.every((line) => line.values.every((value) => value === null || value === undefined || value > 0)) });
  }

  /** Say what is shown. @param {any[]} tables */
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

  question() {
    const one = [...this.sources().values()].find((found) => found.series === this.series.id);
    if (!one) return null;
    const parts = [...this.sources().values()].filter((found) => found.series === this.series.id);
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

  /** @param {KeyboardEvent} event */
  key(event) {
    const on = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(on.tagName) || document.querySelector("dialog[open]")) return;
    const [from, until] = this.span ?? this.whole;
    const size = until - from;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => this.move([from - size / 5, until - size / 5], false),
      ArrowRight: () => this.move([from + size / 5, until + size / 5], false),
      "+": () => this.move([from + size / 5, until - size / 5], false),
      "-": () => this.move([from - size / 3, until + size / 3], false),
      0: () => this.move([-Infinity, Infinity], true),
      l: () => this.toggleLog(),
      "/": () => this.search.focus(),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }
}

/** Pairs of lines that are the two sides of one band, such as ask and bid. @param {import("./chart.js").Line[]} lines @returns {[number, number][]} */
function bands(lines) {
  /** @type {[number, number][]} */
  const found = [];
  lines.forEach((line, place) => {
    const other = lines.findIndex((one) => one !== line && line.label.includes("ask") && one.label === line.label.replace("ask", "bid"));
    if (other >= 0) found.push([place, other]);
  });
  return found;
}

/** @param {string} name */
export function quoted(name) {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

/** @param {string} name */
export function tableName(name) {
  return name.split(".").map(quoted).join(".");
}
