// Completion of tables, columns and functions while SQL is typed, with units and meanings.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { all } from "./state.js";

const MOST = 12;
/** @type {Promise<{ name: string, meaning: string }[]> | undefined} */
let functions;

/** @param {HTMLTextAreaElement} box @param {() => void} changed */
export function complete(box, changed) {
  const list = h("div", { class: "complete", role: "listbox", hidden: true });
  box.parentElement?.append(list);
  /** @type {{ text: string, about: string }[]} */
  let found = [];
  let chosen = 0;
  /** @type {{ name: string, meaning: string }[]} */
  let known = [];
  functions ??= get("functions").then((answer) => answer.functions);
  functions.then((listed) => (known = listed), () => (functions = undefined));

  const word = () => /([A-Za-z_][\w.]*)$/.exec(box.value.slice(0, box.selectionStart))?.[1] ?? "";
  const hide = () => (list.hidden = true);

  function look() {
    const typed = word().toLowerCase();
    if (typed.length < 2 || box.selectionStart !== box.selectionEnd) return hide();
    found = candidates(typed, box.value, known).slice(0, MOST);
    if (!found.length || (found.length === 1 && found[0].text.toLowerCase() === typed)) return hide();
    chosen = 0;
    draw();
  }

  function draw() {
    fill(list, ...found.map((one, place) => h("div", { class: place === chosen ? "on" : "", role: "option", onmousedown: (/** @type {Event} */ event) => { event.preventDefault(); take(place); } }, one.text, h("small", {}, one.about))));
    const lines = box.value.slice(0, box.selectionStart).split("\n");
    const frame = box.getBoundingClientRect();
    const left = frame.left + 10 + Math.min((lines[lines.length - 1].length - word().length) * 7.55, frame.width - 260);
    const top = frame.top + 8 + lines.length * 18.75 - box.scrollTop;
    Object.assign(list.style, { left: `${left}px`, top: `${Math.min(top, innerHeight - 230)}px` });
    list.hidden = false;
  }

  /** @param {number} place */
  function take(place) {
    const start = box.selectionStart - word().length;
    box.setRangeText(found[place].text, start, box.selectionStart, "end");
    hide();
    changed();
  }

  box.addEventListener("input", look);
  box.addEventListener("blur", hide);
  box.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step) chosen = (chosen + step + found.length) % found.length;
    else if (event.key === "Escape") hide();
    else if (event.key === "Tab" || (event.key === "Enter" && !event.ctrlKey && !event.metaKey)) take(chosen);
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (step) draw();
  });
}

/**
 * Tables and functions by name; columns of the tables that the text names before those of others.
 * @param {string} typed @param {string} text @param {{ name: string, meaning: string }[]} functions
 */
function candidates(typed, text, functions) {
  const lower = text.toLowerCase();
  /** @type {Map<string, { text: string, about: string, rank: number }>} */
  const found = new Map();
  const add = (/** @type {string} */ name, /** @type {string} */ about, /** @type {number} */ rank) => {
    if (!name.toLowerCase().startsWith(typed)) return;
    const held = found.get(name);
    if (!held || held.rank > rank) found.set(name, { text: name, about: about.slice(0, 60), rank });
  };
  for (const table of all().tables) {
    const isNamed = lower.includes(table.name.toLowerCase());
    add(table.name, table.meaning, 1);
    for (const column of table.columns) add(column.name, `${column.unit && column.unit !== "none" ? `[${column.unit}] ` : ""}${column.meaning ?? column.type}`, isNamed ? 0 : 3);
  }
  all().names.forEach((name) => add(name, "table", 2));
  functions.forEach((one) => add(one.name, one.meaning, 2));
  return [...found.values()].sort((a, b) => a.rank - b.rank || a.text.length - b.text.length);
}
