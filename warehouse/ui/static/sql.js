// A box for one SELECT, its result as a table, warnings beside it.

import { post, shownGeneration } from "./api.js";
import { actions } from "./actions.js";
import { fill, h, problem } from "./dom.js";
import { counted } from "./format.js";
import { note } from "./route.js";
import { tableOf } from "./results.js";

const FIRST = "select *\nfrom meta.coverage\norder by dataset, series_id, month";

/** @param {HTMLElement} view @param {import("./route.js").Route} route */
export function open(view, route) {
  return new SqlView(view, route.query).close;
}

export class SqlView {
  /** @param {HTMLElement} view @param {URLSearchParams} query */
  constructor(view, query) {
    /** @type {AbortController | null} */
    this.running = null;
    this.close = () => this.running?.abort();
    this.box = h("textarea", { spellcheck: false, "aria-label": "SQL", value: query.get("q") ?? FIRST });
    this.ink = h("pre", { class: "ink", "aria-hidden": "true" });
    this.run = h("button", { class: "main", title: "run (Ctrl+Enter)", onclick: () => this.ask() }, "Run");
    this.stopper = h("button", { hidden: true, onclick: () => this.running?.abort() }, "Stop");
    this.clock = h("span", { class: "cursor" });
    this.out = h("div", { class: "pad" });
    this.notes = h("div", {});
    fill(view, h("div", { class: "sqlbox" }, this.ink, this.box),
      h("div", { class: "bar" }, this.run, this.stopper, this.clock, actions({ question: () => this.question(), name: () => "result" })), this.notes, this.out);
    this.box.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        this.ask();
      }
    });
    if (query.has("q")) this.ask();
  }

  question() {
    return { sql: this.box.value, params: {} };
  }

  async ask() {
    this.running?.abort();
    const running = (this.running = new AbortController());
    const question = this.question();
    note("sql", "", new URLSearchParams({ q: question.sql, g: String(shownGeneration()) }));
    const began = performance.now();
    const tick = setInterval(() => (this.clock.textContent = `running … ${((performance.now() - began) / 1000).toFixed(1)} s`), 100);
    this.stopper.hidden = false;
    fill(this.notes);
    try {
      const answer = await (await post("sql", question, running.signal)).json();
      if (running !== this.running) return;
      const cut = answer.is_cut ? `the first ${counted(answer.rows.length, "row")}; there are more` : counted(answer.rows.length, "row");
      this.clock.textContent = `${cut} in ${((performance.now() - began) / 1000).toFixed(2)} s`;
      this.show(answer);
    } catch (error) {
      if (running !== this.running) return;
      const isStopped = /** @type {any} */ (error).name === "AbortError";
      this.clock.textContent = isStopped ? "stopped" : "";
      fill(this.out, isStopped ? null : problem(error));
    } finally {
      clearInterval(tick);
      if (running === this.running) this.stopper.hidden = true;
    }
  }

  /** @param {any} answer */
  show(answer) {
    fill(this.out, answer.rows.length ? tableOf(answer.columns, answer.rows) : h("p", { class: "empty" }, "no rows"));
  }
}
