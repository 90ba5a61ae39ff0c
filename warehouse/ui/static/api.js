// Requests to the server that opened this page: token, generation, errors.

const STORE = "warehouse.token";
let token = "";
/** The generation that the page shows. @type {number | null} */
let generation = null;

/** An answer that is not ok, or none at all. */
export class Refusal extends Error {
  /** @param {string} what @param {string | null} next @param {number} status */
  constructor(what, next, status) {
    super(what);
    this.what = what;
    this.next = next;
    this.status = status;
  }
}

/**
 * Take the token out of the address, so that it is in no history and no copied link.
 * Returns whether there is one, here or from before in this tab.
 */
export function takeToken() {
  const found = /^#token=([\w-]+)(?:&view=(.*))?$/.exec(location.hash);
  if (found) {
    sessionStorage.setItem(STORE, found[1]);
    history.replaceState(null, "", `${location.pathname}#${found[2] ?? "/"}`);
  }
  token = sessionStorage.getItem(STORE) ?? "";
  return token !== "";
}

/** @param {number | null} number */
export function showGeneration(number) {
  generation = number;
}

export function shownGeneration() {
  return generation;
}

/** @typedef {Record<string, string | number | string[] | null | undefined>} Query */

/** @param {string} name @param {Query} query */
function address(name, query) {
  const search = new URLSearchParams();
  if (generation !== null) search.set("generation", String(generation));
  for (const [key, value] of Object.entries(query)) {
    if (Array.isArray(value)) value.forEach((one) => search.append(key, one));
    else if (value !== null && value !== undefined) search.set(key, String(value));
  }
  return `/api/v1/${name}?${search}`;
}

/** @param {string} url @param {RequestInit} options @returns {Promise<Response>} */
async function ask(url, options) {
  let response;
  try {
    response = await fetch(url, { ...options, headers: { ...options.headers, authorization: `Bearer ${token}` } });
  } catch (error) {
    if (/** @type {any} */ (error).name === "AbortError") throw error;
    throw new Refusal("the server does not respond", "start it again: warehouse ui", 0);
  }
  if (response.ok) return response;
  let said;
  try {
    said = await response.json();
  } catch {
    said = { what: `the server answered with ${response.status} ${response.statusText}`, next: null };
  }
  throw new Refusal(said.what, said.next, response.status);
}

/** @param {string} name @param {Query} [query] @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function get(name, query = {}, signal) {
  return (await ask(address(name, query), { signal })).json();
}

/** @param {string} name @param {object} body @param {AbortSignal} [signal] @returns {Promise<Response>} */
export function post(name, body, signal) {
  const headers = { "content-type": "application/json" };
  return ask(address(name, {}), { method: "POST", body: JSON.stringify(body), headers, signal });
}

/**
 * A tile of points: head, x, and the columns by name.
 * @param {Query} query @param {AbortSignal} [signal]
 * @returns {Promise<{ head: any, x: Float64Array, columns: Record<string, Float64Array> }>}
 */
export async function points(query, signal) {
  const buffer = await (await ask(address("points", query), { signal })).arrayBuffer();
  const size = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  const part = (/** @type {number} */ place) =>
    new Float64Array(buffer, 4 + size + place * head.points * 8, head.points);
  /** @type {Record<string, Float64Array>} */
  const columns = {};
  head.columns.forEach((/** @type {string} */ name, /** @type {number} */ place) => (columns[name] = part(place + 1)));
  return { head, x: part(0), columns };
}
