// The frame of the page: token, generation, navigation, theme, banner.

import { get, Refusal, showGeneration, shownGeneration, takeToken } from "./api.js";
import { fill, h, problem } from "./dom.js";
import { here } from "./route.js";
import { all, setCatalog } from "./state.js";
import { forget } from "./tiles.js";

/** Pages by name: title, and the module that draws it. @type {Record<string, [string, () => Promise<any>]>} */
const PAGES = {
  series: ["Series", () => import("./series.js")],
  state: ["State", () => import("./marketstate.js")],
  calendar: ["Calendar", () => import("./calendar.js")],
  table: ["Cross-section", () => import("./table.js")],
  seasonality: ["Seasonality", () => import("./seasonality.js")],
  scatter: ["Scatter", () => import("./scatter.js")],
  sql: ["SQL", () => import("./sql.js")],
  lineage: ["Lineage", () => import("./lineage.js")],
  quality: ["Quality", () => import("./quality.js")],
};
const POLL_MS = 10_000;

const top = /** @type {HTMLElement} */ (document.getElementById("top"));
const banner = /** @type {HTMLElement} */ (document.getElementById("banner"));
const view = /** @type {HTMLElement} */ (document.getElementById("view"));
/** @type {() => void} */
let close = () => {};
let turn = 0;

async function show() {
  const route = here();
  const now = ++turn;
  const wanted = route.query.get("g");
  const { page } = route;
  close();
  close = () => {};
  try {
    const number = wanted && /^\d+$/.test(wanted) ? Number(wanted) : null;
    if (shownGeneration() === null || (number !== null && number !== shownGeneration())) {
      showGeneration(number);
      const catalog = await get("catalog");
      showGeneration(catalog.generation);
      setCatalog(catalog);
      forget();
    }
    frame(page);
    if (!Object.hasOwn(PAGES, page)) throw { what: `${page}: no such view`, next: null };
    const module = await PAGES[page][1]();
    if (now !== turn) return;
    document.title = `${PAGES[page][0]} · warehouse`;
    view.className = page;
    const opened = await module.open(view, route);
    if (now === turn) close = opened;
    else opened();
  } catch (error) {
    const refused = /** @type {Refusal} */ (error);
    if (refused.status === 401) withoutToken();
    else fill(view, problem(error), h("p", { class: "empty" }, h("a", { href: "#/series", onclick: () => showGeneration(null) }, "show the first view of the current generation")));
  }
}

/** @param {string} page */
function frame(page) {
  const { generation, current, kept, built_at } = all();
  const choose = h("select", { "aria-label": "generation", title: `built ${built_at} UTC`, onchange: () => turnTo(Number(choose.value)) },
    ...[...kept].reverse().map((/** @type {any} */ one) => h("option", { value: String(one.number), selected: one.number === generation },
      `generation ${one.number}${one.number === current ? " (current)" : ""}${one.snapshots.length ? ` ${one.snapshots.join(" ")}` : ""}`)));
  const theme = h("button", { class: "quiet", title: "dark or light (t)", "aria-label": "dark or light", onclick: flipTheme }, "◐");
  fill(top, h("a", { class: "brand", href: "#/series" }, "warehouse"),
    h("nav", {}, ...Object.entries(PAGES).map(([name, [title]], place) =>
      h("a", { href: `#/${name}`, class: name === page ? "on" : "", title: `${title} (g ${place + 1})` }, title))),
    h("span", { class: "grow" }), choose, theme);
  top.querySelector("nav a.on")?.scrollIntoView({ block: "nearest", inline: "center" });
  tellNewer(current);
}

/** @param {number} number */
function turnTo(number) {
  const route = here();
  route.query.set("g", String(number));
  location.hash = `#/${route.page}${route.id ? `/${encodeURIComponent(route.id)}` : ""}?${route.query}`;
}

/** @param {number} current */
function tellNewer(current) {
  banner.hidden = current <= (shownGeneration() ?? current);
  if (!banner.hidden) {
    fill(banner, `Generation ${current} was published. This page still shows generation ${shownGeneration()}. `,
      h("button", { onclick: () => turnTo(current) }, `show generation ${current}`));
  }
}

async function poll() {
  if (document.hidden || shownGeneration() === null) return;
  try {
    const { current } = await get("generations");
    all().current = current;
    tellNewer(current);
  } catch (error) {
    if (/** @type {Refusal} */ (error).status) return;
    banner.hidden = false;
    fill(banner, "The server has stopped. Start it again with: warehouse ui --open ", h("code", {}, `'${location.hash.slice(1)}'`));
  }
}

function flipTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("warehouse.theme", root.dataset.theme);
  dispatchEvent(new Event("themed"));
}

function withoutToken() {
  fill(top, h("span", { class: "brand" }, "warehouse"));
  fill(view, h("div", { class: "notice" }, h("h1", {}, "This tab has no access yet"),
    h("p", {}, "A link does not contain the secret of the page. Open this view from the command line:"),
    h("pre", {}, location.hash.length > 1 ? `warehouse ui --open '${location.hash.slice(1)}'` : "warehouse ui"),
    h("p", {}, "or open the address that ", h("code", {}, "warehouse ui"), " printed, then this link in the same tab.")));
}

let isG = false;
addEventListener("keydown", (event) => {
  const on = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(on.tagName)) return;
  if (isG && /^[1-9]$/.test(event.key)) {
    const name = Object.keys(PAGES)[Number(event.key) - 1];
    if (name) location.hash = `#/${name}`;
  } else if (event.key === "t") flipTheme();
  isG = event.key === "g";
});

if (takeToken()) {
  addEventListener("hashchange", () => {
    if (location.hash.startsWith("#token=")) takeToken();
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themed")));
  setInterval(poll, POLL_MS);
  addEventListener("focus", poll);
  show();
} else {
  withoutToken();
  addEventListener("hashchange", () => location.hash.startsWith("#token=") ? location.reload() : withoutToken());
}
