// A view as a link: the hash holds the page and its parameters, the generation among them.

/**
 * @typedef {{ page: string, id: string, query: URLSearchParams }} Route
 */

/** @returns {Route} */
export function here() {
  const [path, search = ""] = location.hash.slice(1).split("?");
  const [, page = "", ...rest] = path.split("/");
  return { page: page || "series", id: decodeURIComponent(rest.join("/")), query: new URLSearchParams(search) };
}

/**
 * The hash of a view.
 * @param {string} page @param {string | number} id @param {URLSearchParams} query
 */
export function hashOf(page, id, query) {
  const path = id === "" ? `#/${page}` : `#/${page}/${encodeURIComponent(String(id))}`;
  const search = String(query);
  return search ? `${path}?${search}` : path;
}

/** Go to a view, with a step in the history. @param {string} page @param {string | number} id @param {URLSearchParams} query */
export function go(page, id, query) {
  location.hash = hashOf(page, id, query);
}

/** Note the view's state in the address without a step in the history. @param {string} page @param {string | number} id @param {URLSearchParams} query */
export function note(page, id, query) {
  history.replaceState(null, "", hashOf(page, id, query));
}

/**
 * A measure of a chart: a column of a table, of the view's series or of another one.
 * @typedef {{ table: string, column: string, series: number | null }} Measure
 */

/** @param {Measure} measure */
export function measureText(measure) {
  const column = encodeURIComponent(measure.column).replace(/\./g, "%2E");
  const other = measure.series === null ? "" : `@${measure.series}`;
  return `${encodeURIComponent(measure.table)}.${column}${other}`;
}

/** @param {string} text @returns {Measure | null} */
export function parseMeasure(text) {
  const found = /^(.+)\.([^.@]+)(?:@(\d+))?$/.exec(text);
  if (!found) return null;
  try {
    return {
      table: decodeURIComponent(found[1]),
      column: decodeURIComponent(found[2]),
      series: found[3] === undefined ? null : Number(found[3]),
    };
  } catch {
    return null;
  }
}

/** @param {string} text @returns {Measure} */
function measureOf(text) {
  const found = parseMeasure(text);
  if (!found) throw { what: `${text}: not a measure`, next: "write it as table.column" };
  return found;
}

/** Panels of a chart in a link: `p=a.x,a.y&p=b.z`, or `mart=a&cols=x,y`, a panel for each. @param {URLSearchParams} query @returns {Measure[][]} */
export function panelsOf(query) {
  const mart = query.get("mart");
  const listed = mart ? (query.get("cols") ?? "").split(",").map((name) => `${encodeURIComponent(mart)}.${name}`) : [];
  return [...query.getAll("p"), ...listed]
    .map((text) => text.split(",").filter(Boolean).map(measureOf))
    .filter((panel) => panel.length > 0);
}
