// A box for one SELECT: completion, parameters, result as table and chart, warnings beside it.

import { get, post, shownGeneration } from "./api.js";
import { actions } from "./actions.js";
import { Panel } from "./chart.js";
import { complete } from "./complete.js";
import { dialog, download, fill, h, problem } from "./dom.js";
import { counted } from "./format.js";
import { highlight } from "./highlight.js";
import { picturesIn } from "./pen.js";
import { isNumber, tableOf } from "./results.js";
import { note } from "./route.js";
import { cloud } from "./scatter.js";
import { heat } from "./seasonality.js";
import { usualSeries } from "./state.js";

const FIRST = "select *\nfrom meta.coverage\norder by dataset, series_id, month";
const FORMATS = ["csv", "parquet", "arrow", "jsonl"];
const MOST_LINES = 7;

/** @param {HTMLElement} view @param {import("./route.js").Route} route */
export function open(view, route) {
  return new SqlView(view, route.query).close;
}

class SqlView {
  /** @param {HTMLElement} view @param {URLSearchParams} query */
  constructor(view, query) {
    /** @type {AbortController | null} */
    this.running = null;
    /** @type {any} */
    this.answer = null;
    this.shows = query.get("show") === "chart" ? "chart" : "table";
    /** @type {Record<string, string>} */
    this.values = {};
    query.forEach((value, name) => name.startsWith("v.") && (this.values[name.slice(2)] = value));
    this.gone = new AbortController();
    /** @type {Panel[]} */
    this.panels = [];
    this.repaint = () => this.panels.forEach((panel) => panel.repaint());
    addEventListener("themed", this.repaint);
    this.close = () => {
      this.running?.abort();
      this.gone.abort();
      this.panels.forEach((panel) => panel.destroy());
      removeEventListener("themed", this.repaint);
    };
    this.build(view, query.get("q") ?? FIRST);
    if (query.has("q")) this.ask();
  }

  /** @param {HTMLElement} view @param {string} text */
  build(view, text) {
    this.box = h("textarea", { spellcheck: false, "aria-label": "SQL", value: text, oninput: () => this.typed(), onscroll: () => (this.ink.scrollTop = this.box.scrollTop) });
    this.ink = h("pre", { class: "ink", "aria-hidden": "true" });
    this.run = h("button", { class: "main", title: "run (Ctrl+Enter)", onclick: () => this.ask() }, "Run");
    this.stopper = h("button", { hidden: true, onclick: () => this.running?.abort() }, "Stop");
    this.clock = h("span", { class: "cursor" });
    this.tabs = ["table", "chart"].map((name) => h("button", { class: name === this.shows ? "quiet on" : "quiet", onclick: () => this.turn(name) }, name));
    this.queries = h("select", { class: "series", "aria-label": "named queries", onchange: () => this.named() }, h("option", { value: "" }, "named queries …"));
    const formats = h("select", { class: "quiet", "aria-label": "export all rows", onchange: () => { this.save(formats.value); formats.value = ""; } }, h("option", { value: "" }, "export"), ...FORMATS.map((name) => h("option", {}, name)));
    this.params = h("div", { class: "params" });
    this.notes = h("div", {});
    this.out = h("div", { class: "pad" });
    fill(view, h("div", { class: "sqlbox" }, this.ink, this.box), this.params,
      h("div", { class: "bar" }, this.run, this.stopper, this.queries, ...this.tabs, this.clock, h("button", { class: "quiet", onclick: () => this.keep() }, "save as …"), formats,
        actions({ question: () => this.question(), pictures: () => (this.panels.length ? this.panels : picturesIn(this.out)), name: () => "result" })), this.notes, this.out);
    complete(this.box, () => this.typed());
    this.box.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.ask();
    });
    this.typed();
    this.list();
  }

  async list() {
    try {
      const { queries } = await get("queries", {}, this.gone.signal);
      /** @type {any[]} */
      this.known = queries;
      queries.forEach((/** @type {any} */ one) => this.queries.append(h("option", { value: one.name, title: one.purpose }, `${one.name}${one.source === "home" ? " (yours)" : ""}`)));
    } catch (error) {
      if (/** @type {any} */ (error).name !== "AbortError") fill(this.notes, problem(error));
    }
  }

  /** Take a named query, with the usual series as its parameters, and run it. */
  named() {
    const one = this.known?.find((found) => found.name === this.queries.value);
    if (!one) return;
    const usual = /** @type {any} */ (usualSeries() ?? {});
    this.values = {};
    for (const parameter of one.parameters) {
      const value = parameter.name in usual && parameter.required ? usual[parameter.name] : parameter.default;
      if (value !== null && value !== undefined) this.values[parameter.name] = String(value);
    }
    this.box.value = `-- ${one.purpose}\n${one.sql.trim()}`;
    this.turn("chart");
    this.typed();
    this.ask();
  }

  typed() {
    const found = highlight(this.box.value);
    fill(this.ink, ...found.parts);
    const names = found.params;
    if (names.join() === this.fields?.join()) return;
    this.fields = names;
    fill(this.params, ...names.map((name) => h("label", {}, `$${name}`, h("input", { value: this.values[name] ?? "", placeholder: "NULL", oninput: (/** @type {any} */ event) => (this.values[name] = event.target.value) }))));
  }

  question() {
    /** @type {Record<string, any>} */
    const params = {};
    for (const name of this.fields ?? []) params[name] = typed(this.values[name] ?? "");
    return { sql: this.box.value, params };
  }

  async ask() {
    this.running?.abort();
    const running = (this.running = new AbortController());
    const question = this.question();
    const query = new URLSearchParams({ q: question.sql, show: this.shows, g: String(shownGeneration()) });
    for (const name of this.fields ?? []) if (this.values[name]) query.set(`v.${name}`, this.values[name]);
    note("sql", "", query);
    const began = performance.now();
    const passed = () => (performance.now() - began) / 1000;
    const tick = setInterval(() => (this.clock.textContent = `running … ${passed().toFixed(1)} s`), 100);
    this.stopper.hidden = false;
    fill(this.notes);
    try {
      const answer = await (await post("sql", question, running.signal)).json();
      if (running !== this.running) return;
      const size = counted(answer.rows.length, "row");
      this.clock.textContent = `${answer.is_cut ? `the first ${size}, there are more;` : size} ${passed().toFixed(2)} s`;
      this.answer = answer;
      this.show();
      this.remark(question, running);
    } catch (error) {
      if (running !== this.running) return;
      const isStopped = /** @type {any} */ (error).name === "AbortError";
      this.clock.textContent = isStopped ? "stopped" : "";
      this.answer = null;
      fill(this.out, isStopped ? null : problem(error));
      this.point(/** @type {any} */ (error).what ?? "");
    } finally {
      clearInterval(tick);
      if (running === this.running) this.stopper.hidden = true;
    }
  }

  /** What is missing from the result, or looks ahead, or why it is empty. @param {any} question @param {AbortController} running */
  async remark(question, running) {
    try {
      const { lines } = await (await post("remarks", question, running.signal)).json();
      if (running === this.running) fill(this.notes, ...lines.map((/** @type {string} */ line) => h("div", { class: "warning" }, line)));
    } catch {
      // the result is shown, but without a list of missing bars
      if (running === this.running) fill(this.notes, h("div", { class: "warning" }, "missing bars were not checked"));
    }
  }

  /** Underline the word that an error names. @param {string} what */
  point(what) {
    const place = /at or near "([^"]+)"|named "?([\w.]+)"?|(?:name|Function) ["']?([\w.]+)["']? (?:does|not)|column "([^"]+)"/i.exec(what);
    const word = place?.slice(1).find(Boolean);
    if (!word) return;
    const at = this.box.value.toLowerCase().indexOf(word.toLowerCase());
    if (at < 0) return;
    fill(this.ink, ...highlight(this.box.value, [at, at + word.length]).parts);
    this.box.focus();
    this.box.setSelectionRange(at, at + word.length);
  }

  /** @param {string} name */
  turn(name) {
    this.shows = name;
    this.tabs?.forEach((tab) => tab.classList.toggle("on", tab.textContent === name));
    this.show();
  }

  show() {
    this.panels.forEach((panel) => panel.destroy());
    this.panels = [];
    const answer = this.answer;
    if (!answer) return;
    if (!answer.rows.length) return fill(this.out, h("p", { class: "empty" }, "no rows"));
    if (this.shows === "chart" && answer.rows.length > 1 && this.chart(answer)) return;
    const why = this.shows === "chart" && answer.rows.length > 1 ? h("p", { class: "empty" }, "No chart: it needs a column of times and numbers, weekday and hour, or two numbers.") : null;
    fill(this.out, why, tableOf(answer.columns, answer.rows));
  }

  /** @param {any} answer */
  chart(answer) {
    const named = (/** @type {string} */ name) => answer.columns.findIndex((/** @type {any} */ one) => one.name === name);
    const [weekday, hour] = [named("weekday"), named("hour")];
    const keys = ["series_id", "weekday", "hour", "count", "bars"];
    const numbers = answer.columns.map((/** @type {any} */ one, /** @type {number} */ place) => ({ ...one, place })).filter((/** @type {any} */ one) => isNumber(one) && !keys.includes(one.name));
    const room = this.out.clientWidth - 26;
    if (weekday >= 0 && hour >= 0 && numbers.length) {
      const cells = answer.rows.map((/** @type {any[]} */ row) => ({ weekday: row[weekday], hour: row[hour], value: row[numbers[0].place], count: row[named("count")] ?? 0 }));
      fill(this.out, h("b", {}, numbers[0].name), heat(room, cells, numbers[0].unit ?? ""));
      return true;
    }
    const time = answer.columns.find((/** @type {any} */ one) => /^(TIMESTAMP|DATE)/.test(one.type));
    const names = numbers.map((/** @type {any} */ one) => one.name);
    const isPair = names.length === 2 && names.some((/** @type {string} */ name) => /return/.test(name)) && !names.every((/** @type {string} */ name) => /return/.test(name));
    if (numbers.length === 2 && (!time || isPair)) this.plot(numbers[0].name, [numbers[1]]);
    else if (time && numbers.length) this.plot(time.name, numbers.slice(0, MOST_LINES));
    else return false;
    return true;
  }

  /** All rows of the query as a chart. @param {string} x @param {any[]} ys */
  async plot(x, ys) {
    const asked = { ...this.question(), x, ys: ys.map((one) => one.name), pixels: Math.max(100, this.out.clientWidth - 140) };
    const { answer } = this;
    fill(this.out, h("p", { class: "busy" }, "drawing …"));
    let found;
    try {
      found = await (await post("drawing", asked, this.running?.signal)).json();
    } catch (error) {
      if (answer === this.answer && /** @type {any} */ (error).name !== "AbortError") fill(this.out, problem(error));
      return;
    }
    if (answer !== this.answer || this.shows !== "chart") return;
    if (found.kind === "cloud") {
      fill(this.out, found.points.length ? cloud(this.out.clientWidth - 26, Math.max(200, this.out.clientHeight - 30), found, x, ys[0].name) : h("p", { class: "empty" }, "No row has values of both."));
      return;
    }
    fill(this.out);
    const units = [...new Set(ys.map((one) => one.unit ?? ""))];
    const height = Math.max(110, Math.floor((this.out.clientHeight - 34) / units.length) - 24);
    this.panels = units.map((unit, place) => {
      const panel = new Panel(this.out, { sync: "result", height, axis: place === units.length - 1 });
      const lines = ys.flatMap((one, at) => ((one.unit ?? "") === unit ? [{ label: one.name, unit: one.unit, values: found.values[at] }] : []));
      panel.draw({ x: found.x, lines, gaps: [], span: null });
      return panel;
    });
    if (found.rows > found.x.length) this.out.append(h("small", {}, `first, low, high, last of each of the buckets of ${counted(found.rows, "row")}`));
  }

  /** Export all rows. @param {string} format */
  async save(format) {
    if (!format) return;
    const stop = new AbortController();
    const box = dialog(`Export as ${format}`, h("p", { class: "busy" }, "running the query …"));
    box.addEventListener("close", () => stop.abort());
    try {
      const response = await post("export", { ...this.question(), format }, stop.signal);
      download(await response.blob(), `result.${format}`);
      box.close();
    } catch (error) {
      if (/** @type {any} */ (error).name !== "AbortError") box.append(problem(error));
    }
  }

  /** Save as a named query of the home. */
  keep() {
    const name = h("input", { placeholder: "name", pattern: "[A-Za-z_][A-Za-z0-9_]*", "aria-label": "name" });
    const purpose = h("input", { placeholder: "what it is for", "aria-label": "purpose", size: 40 });
    const told = h("div", {});
    const save = h("button", { class: "main", onclick: async () => {
      try {
        const { path } = await (await post("save", { name: name.value, purpose: purpose.value, sql: this.box.value })).json();
        fill(told, h("p", {}, `saved as ${path}; run it with: warehouse sql -q ${name.value}`));
      } catch (error) {
        fill(told, problem(error));
      }
    } }, "save");
    dialog("Save as a named query", h("p", {}, name, " ", purpose, " ", save), told);
    name.focus();
  }
}

/** A value as its text looks: number, true, false, else text; nothing is NULL. @param {string} text */
function typed(text) {
  if (text === "") return null;
  if (text === "true" || text === "false") return text === "true";
  return text.trim() === text && String(Number(text)) === text && Number.isFinite(Number(text)) ? Number(text) : text;
}
