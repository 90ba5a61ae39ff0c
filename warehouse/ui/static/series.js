// Measures of a series over time: panels with one cursor, zoom and pan over any number of bars.

import { get } from "./api.js";
import { actions } from "./actions.js";
import { COLOURS, Panel } from "./chart.js";
import { fill, h, problem } from "./dom.js";
import { iso, number } from "./format.js";
import { measureText, panelsOf } from "./route.js";
import { all, column, drawable, series, seriesLabel, seriesOf, table, usualPanels } from "./state.js";
import { Timeline } from "./timeline.js";

/** @typedef {import("./route.js").Measure} Measure */
/** @typedef {import("./timeline.js").Held} Held */

// Bars around a value that was looked for.
const AROUND = 120;

/** @param {HTMLElement} view @param {import("./route.js").Route} route */
export async function open(view, route) {
  const chosen = seriesOf(route.id);
  if (!chosen) {
    fill(view, h("p", { class: "empty" }, "This catalog has no series yet. Run: warehouse update"));
    return () => {};
  }
  const given = panelsOf(route.query);
  const panels = given.length ? given : await usualPanels(chosen);
  return new SeriesView(view, chosen, route.query, panels).begin();
}

class SeriesView extends Timeline {
  /** @param {HTMLElement} view @param {import("./state.js").Series} chosen @param {URLSearchParams} query @param {Measure[][]} panels */
  constructor(view, chosen, query, panels) {
    super("series", chosen, query);
    this.panels = panels;
    this.log = query.get("log") === "1";
    const log = h("button", { class: this.log ? "quiet on" : "quiet", title: "logarithmic scale (l)", onclick: () => this.toggleLog() }, "log");
    this.logButton = log;
    this.ranges.append(log);
    this.side = h("aside", {}, this.menu());
    const opener = h("button", { class: "opener", "aria-expanded": "false", onclick: () => opener.setAttribute("aria-expanded", String(this.side.classList.toggle("open"))) }, "measures");
    fill(view, h("div", { class: "bar" }, opener, this.choice, this.ranges,
      actions({ question: () => this.question(), pictures: () => this.drawn, name: () => `${this.series.symbol} ${this.series.interval}`.replace(/[^\w-]+/g, "_") })),
    h("div", { class: "split" }, this.side, h("section", { class: "grow" }, this.charts, this.status)));
  }

  measures() {
    return this.panels;
  }

  noted() {
    const query = new URLSearchParams();
    for (const panel of this.panels) query.append("p", panel.map(measureText).join(","));
    if (this.log) query.set("log", "1");
    return query;
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
        const row = h("div", { class: "measure", title, "data-column": found.name, "data-text": `${one.name}.${found.name} ${found.meaning ?? ""}`.toLowerCase() },
          h("button", { class: "name", title: `${title}\nshow in a separate panel`, onclick: () => this.add(one.name, found.name) }, found.name),
          found.unit ? h("small", {}, found.unit) : null,
          h("button", { class: "quiet plus", title: "add to the last panel", "aria-label": `add ${found.name} to the last panel`, onclick: () => this.overlay(one.name, found.name) }, "+"));
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
      if (words.length) group.open = found > 0 && !group.classList.contains("none");
    }
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

  /** @param {number} id */
  choose(id) {
    super.choose(id);
    fill(this.side, this.menu());
    this.mark();
  }

  begin() {
    const close = super.begin();
    this.begun.then(() => this.mark());
    return close;
  }

  /** Dim the measures of the menu that lately have no value in this series, table after table. */
  async mark() {
    const { id } = this.series;
    for (const group of [...this.list.querySelectorAll("details")].sort((a, b) => Number(b.open) - Number(a.open))) {
      let found;
      try {
        found = await get("empty", { table: group.dataset.table, series: id }, this.stop.signal);
      } catch {
        continue; // a hint only
      }
      if (this.series.id !== id || this.stop.signal.aborted) return;
      const why = found.columns ? `no value in the last ${found.days} days of this series` : "no rows of this series";
      const rows = [...group.querySelectorAll(".measure")];
      const lacking = rows.filter((row) => !found.columns || found.columns.includes(row.dataset.column));
      lacking.forEach((row) => {
        row.classList.add("none");
        row.title = `${why}\n${row.title}`;
      });
      group.classList.toggle("none", lacking.length === rows.length);
    }
  }

  async arrange() {
    this.note();
    this.drawn.forEach((panel) => panel.destroy());
    this.charts.replaceChildren();
    const heights = this.heights();
    this.drawn = this.panels.map((panel, place) => {
      const looks = panel.some((one) => table(one.table)?.looks_ahead);
      const title = [...new Set(panel.map((one) => one.table))].join(", ");
      const others = h("select", { class: "quiet", "aria-label": "add another series to this panel", onchange: () => this.besides(place, Number(others.value)) },
        h("option", { value: "" }, "+ series"), ...all().series.filter((one) => one.id !== this.series.id).map((one) => h("option", { value: String(one.id) }, seriesLabel(one))));
      const ends = /** @type {("high" | "low")[]} */ (["high", "low"]).map((end) => h("button", { class: "quiet", title: `go to the ${end}est value of ${panel[0]?.column} in this span`, onclick: () => this.extreme(place, end) }, end));
      const drop = h("button", { class: "quiet", title: "remove this panel", "aria-label": "remove this panel", onclick: () => this.remove(place) }, "✕");
      const up = place ? h("button", { class: "quiet", title: "move up", "aria-label": "move this panel up", onclick: () => this.swap(place) }, "↑") : null;
      const head = h("div", { class: "head" }, h("b", {}, title), looks ? h("em", { class: "ahead" }, "looks ahead: a label, known only later") : null, h("span", { class: "grow" }), ...ends, others, up, drop);
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

  /** @param {Panel} panel @param {number} place @param {Held[]} tables @param {[number, number]} span */
  drawPanel(panel, place, tables, span) {
    const measures = this.panels[place];
    const { x, columns, gaps } = this.values(measures, tables);
    const lines = measures.flatMap((measure, at) => {
      const other = measure.series === null ? "" : ` ${seriesLabel(series(measure.series))}`;
      const unit = this.unit(measure);
      const values = columns[at];
      return values ? [{ label: `${measure.column}${other}`, unit, values, colour: COLOURS[at % COLOURS.length] }] : [];
    });
    const isAbove = (/** @type {number | null | undefined} */ value) => value === null || value === undefined || value > 0;
    panel.draw({ x, lines, gaps, span, right: this.hasRight, log: this.log && lines.every((line) => line.values.every(isAbove)) });
  }

  /** @param {Held[]} tables */
  tell(tables) {
    super.tell(tables);
    if (this.found) this.label.prepend(h("b", {}, this.found), " · ");
  }

  /** @param {[number, number]} span @param {boolean} final */
  move(span, final) {
    this.found = "";
    super.move(span, final);
  }

  /** Go to the highest or lowest value that a panel's first measure has in the span. @param {number} place @param {"high" | "low"} end */
  async extreme(place, end) {
    const [measure] = this.panels[place];
    const [from, to] = this.span ?? this.whole;
    const id = measure.series ?? this.series.id;
    try {
      const asked = { table: measure.table, column: measure.column, series: id, from, to, end };
      const { time, value, step } = await get("extreme", asked, this.stop.signal);
      if (time === null) return void fill(this.label, `${measure.column} has no value in this span`);
      const unit = column(measure.table, measure.column)?.unit ?? "";
      this.move([time - AROUND * step, time + AROUND * step], true);
      this.found = `${measure.column} is ${end === "high" ? "highest" : "lowest"} at ${iso(time, "second")} UTC: ${number(value)} ${unit === "none" ? "" : unit}`;
    } catch (error) {
      if (/** @type {any} */ (error).name !== "AbortError") fill(this.label, problem(error));
    }
  }

  keys() {
    return { ...super.keys(), l: () => this.toggleLog(), "/": () => this.search.focus() };
  }
}
