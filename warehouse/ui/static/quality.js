// What is missing, refused, restated or untested, and how the catalog was built.

import { get, shownGeneration } from "./api.js";
import { actions } from "./actions.js";
import { copy, fill, h, problem } from "./dom.js";
import { note } from "./route.js";
import { tableOf } from "./results.js";

/** @param {HTMLElement} view */
export function open(view) {
  const stop = new AbortController();
  const body = h("div", { class: "pad wrap" }, h("p", { class: "busy" }, "reading …"));
  fill(view, body);
  note("quality", "", new URLSearchParams({ g: String(shownGeneration()) }));
  load();

  async function load() {
    try {
      const [quality, status] = await Promise.all([get("quality", {}, stop.signal), get("status", {}, stop.signal)]);
      fill(body, ...quality.sections.map(section), h("h2", {}, "Status"), ...statusParts(status));
    } catch (error) {
      if (/** @type {any} */ (error).name !== "AbortError") fill(body, problem(error));
    }
  }
  return () => stop.abort();
}

/** @param {any} one */
function section(one) {
  const size = one.is_cut ? `the first ${one.rows.length}` : String(one.rows.length);
  const title = h("summary", {}, h("b", {}, one.title), ` ${one.rows.length ? size : "none"} `);
  const extra = one.commands
    ? (/** @type {any[]} */ row) => {
        const command = one.commands[one.rows.indexOf(row)];
        const button = h("button", { class: "quiet", title: command }, "copy the command");
        button.addEventListener("click", () => copy(command, button));
        return button;
      }
    : undefined;
  return h("details", { open: one.rows.length > 0 && one.rows.length <= 12 }, title,
    one.rows.length ? tableOf(one.columns, one.rows, { extra }) : null,
    actions({ question: () => ({ sql: one.sql, params: {} }), name: () => "quality" }));
}

/** @param {any} status */
function statusParts(status) {
  const build = status.build.map((/** @type {any} */ one) => ({ ...one, inputs: String(one.inputs ?? "").split(/\s+/).map((hash) => hash.slice(0, 12)).join(" ") }));
  return Object.entries({ "This generation": build, "Data": status.datasets, "Stored months of marts": status.stored, "Last builds by phase": status.builds, "Last syncs": status.runs })
    .flatMap(([title, rows]) => [h("h3", {}, title), rows.length ? records(rows) : h("p", { class: "empty" }, "none")]);
}

/** @param {Record<string, any>[]} rows */
function records(rows) {
  const names = Object.keys(rows[0]);
  const columns = names.map((name) => ({ name, type: typeof rows.find((row) => row[name] !== null)?.[name] === "number" ? "BIGINT" : "", unit: null, meaning: null }));
  return tableOf(columns, rows.map((row) => names.map((name) => row[name])));
}
