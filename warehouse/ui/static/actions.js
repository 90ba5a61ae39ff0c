// The buttons of every view: link, SQL, Python, receipt, PNG, SVG.

import { post, shownGeneration } from "./api.js";
import { copy, css, dialog, download, h, problem } from "./dom.js";
import { svgOf } from "./pen.js";

/** @typedef {{ sql: string, params: Record<string, any> }} Question */
/** @typedef {import("./pen.js").Picture} Picture */

/**
 * @param {{ question: () => Question | null, pictures?: () => Picture[], name: () => string }} view
 */
export function actions(view) {
  const button = (/** @type {string} */ text, /** @type {string} */ title, /** @type {(event: any) => void} */ act) =>
    h("button", { class: "quiet", title, onclick: act }, text);
  const asked = (/** @type {(question: Question) => void} */ act) => () => {
    const question = view.question();
    if (question) act(question);
  };
  const { pictures } = view;
  return h(
    "span",
    { class: "actions" },
    button("Link", "copy a link to this view of this generation", (event) => copy(location.href, event.target)),
    button("SQL", "the query behind this view", asked(showSql)),
    button("Python", "the same query in Python", asked(showPython)),
    button("Receipt", "what the result was computed from", asked(showReceipt)),
    pictures ? button("PNG", "save the picture", () => savePng(pictures(), view.name())) : null,
    pictures ? button("SVG", "save the picture as vectors", () => saveSvg(pictures(), view.name())) : null,
  );
}

/** @param {string} text */
function code(text) {
  const button = h("button", {}, "copy");
  button.addEventListener("click", () => copy(text, button));
  return h("div", { class: "code" }, h("pre", {}, text), button);
}

/** The query with its values in place of its parameters. @param {Question} question */
export function filled({ sql, params }) {
  return sql.replace(/\$(\w+)/g, (whole, name) => (name in params ? literal(params[name]) : whole));
}

/** @param {any} value @returns {string} */
function literal(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  return typeof value === "string" ? `'${value.replaceAll("'", "''")}'` : String(value);
}

/** @param {Question} question */
function showSql(question) {
  const query = new URLSearchParams({ q: filled(question) });
  query.set("g", String(shownGeneration()));
  const link = h("a", { href: `#/sql?${query}`, onclick: () => box.close() }, "open in the SQL page");
  const box = dialog("SQL", code(filled(question)), h("p", {}, link));
}

/** @param {Question} question */
function showPython({ sql, params }) {
  const text = JSON.stringify(sql).includes("\\n") ? `"""\n${sql.replaceAll("\\", "\\\\").replaceAll('"""', '\\"\\"\\"')}\n"""` : JSON.stringify(sql);
  const named = Object.entries(params).map(([name, value]) => `    ${JSON.stringify(name)}: ${python(value)},\n`);
  const given = named.length ? `, {\n${named.join("")}}` : "";
  dialog("Python", code(`import warehouse\n\nwh = warehouse.open(generation=${shownGeneration()})\nresult = wh.sql(${text}${given})\nresult.df()`));
}

/** @param {any} value @returns {string} */
function python(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  return JSON.stringify(value);
}

/** @param {Question} question */
async function showReceipt(question) {
  const place = h("div", {}, h("p", { class: "busy" }, "computing the receipt …"));
  const stop = new AbortController();
  const box = dialog("Receipt", place);
  box.addEventListener("close", () => stop.abort());
  try {
    const text = await (await post("receipt", question, stop.signal)).text();
    const facts = JSON.parse(text);
    const save = h("button", {}, "save");
    save.addEventListener("click", () => download(new Blob([text]), "receipt.json"));
    place.replaceChildren(
      h("p", {}, `${facts.rows.toLocaleString("en-US")} rows, content ${facts.content.slice(0, 16)}…, from ${facts.files.length} vendor files; check it later with: warehouse verify receipt.json`),
      code(text),
      save,
    );
  } catch (error) {
    place.replaceChildren(problem(error));
  }
}

/** The pictures below one another. @param {Picture[]} pictures */
function stacked(pictures) {
  const canvases = pictures.map((one) => one.canvas);
  const width = Math.max(1, ...canvases.map((one) => one.width));
  const height = Math.max(1, canvases.reduce((sum, one) => sum + one.height, 0));
  const whole = h("canvas", { width, height });
  const context = whole.getContext("2d");
  context.fillStyle = css("--paper");
  context.fillRect(0, 0, width, height);
  let top = 0;
  for (const one of canvases) {
    context.drawImage(one, 0, top);
    top += one.height;
  }
  return whole;
}

/** @param {Picture[]} pictures @param {string} name */
function savePng(pictures, name) {
  stacked(pictures).toBlob((/** @type {Blob} */ blob) => download(blob, `${name}.png`));
}

/** @param {Picture[]} pictures @param {string} name */
function saveSvg(pictures, name) {
  download(new Blob([svgOf(pictures)], { type: "image/svg+xml" }), `${name}.svg`);
}
