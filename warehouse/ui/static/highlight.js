// SQL in colours, and the parameters that it names.

import { h } from "./dom.js";

const WORDS = new Set(
  "select from where group by order limit offset having qualify with recursive as join left right full inner outer cross asof on using union all except intersect distinct case when then else end and or not in is null between like ilike exists true false asc desc nulls first last over partition rows range preceding following unbounded current row filter pivot unpivot values describe summarize show explain interval timestamp date cast try_cast lateral window sample exclude replace".split(" "),
);
const PARTS = /(--[^\n]*|\/\*[\s\S]*?\*\/)|('(?:[^']|'')*'?)|("(?:[^"]|"")*"?)|(\$[A-Za-z_]\w*)|([A-Za-z_]\w*)|([\s\S])/g;

/**
 * @param {string} text @param {[number, number]} [wrong] place of an error
 * @returns {{ parts: Node[], params: string[] }}
 */
export function highlight(text, wrong) {
  /** @type {Node[]} */
  const parts = [];
  /** @type {string[]} */
  const params = [];
  for (const found of text.matchAll(PARTS)) {
    const [whole, comment, string, , parameter, word] = found;
    if (parameter && !params.includes(parameter.slice(1))) params.push(parameter.slice(1));
    let kind = comment ? "c" : string ? "s" : parameter ? "p" : word && WORDS.has(word.toLowerCase()) ? "k" : "";
    if (wrong && found.index >= wrong[0] && found.index < wrong[1]) kind += " e";
    parts.push(kind ? h("span", { class: kind }, whole) : document.createTextNode(whole));
  }
  parts.push(document.createTextNode("\n"));
  return { parts, params };
}
