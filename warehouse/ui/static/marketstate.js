// The chain of the vendor's guide on one page: each link of market_state over time, and its rank.

import { get, shownGeneration } from "./api.js";
import { actions } from "./actions.js";
import { Panel } from "./chart.js";
import { css, fill, h } from "./dom.js";
import { iso, number } from "./format.js";
import { go, measureText } from "./route.js";
import { all, column, seriesOf, table, usualSeries } from "./state.js";
import { Timeline } from "./timeline.js";

/** @typedef {import("./timeline.js").Held} Held */

const TABLE = "market_state";

/** The links, each with what it says, the measures that are drawn, and those that are only read. */
const LINKS = [
  { title: "Regime", about: "volatility of a day, and its rank among 30", drawn: ["realized_vol_rank_30d", "realized_vol_1d_bps"], read: [] },
  { title: "Spread", about: "price of immediacy, its rank among 7 days, and how unstable it is", drawn: ["spread_rank_7d", "spread_bps"], read: ["spread_instability_1d"] },
  { title: "Depth", about: "top of the book as a share of 25 levels: near 1 there is little depth below", drawn: ["top_share_rank_7d", "top_share_25"], read: ["top_share_5"] },
  { title: "Pressure", about: "lean of the top and of 25 levels to the bid, and net flow relative to the last day", drawn: ["net_delta_zscore_1d", "lean_25"], read: ["lean_top", "lean_divergence"] },
  { title: "Impact", about: "ranks of Kyle's and Amihud's impact: if they diverge, informed flow or volatility from outside", drawn: ["kyle_rank_7d", "amihud_rank_7d"], read: ["impact_divergence"] },
  { title: "Tape", about: "quote updates for a basis point of movement, and their rank", drawn: ["quote_updates_rank_7d"], read: ["quote_updates_per_bp"] },
  { title: "Crowding", about: "mean z-score of funding, basis and open interest", drawn: ["crowding_z"], read: [] },
];
const COLOURS = ["--c7", "--c1"];
const DAY = 86400;
const BEGINNING = 7 * DAY;

/** @param {HTMLElement} view @param {import("./route.js").Route} route */
export function open(view, route) {
  if (!table(TABLE)) {
    fill(view, h("p", { class: "empty" }, `This catalog has no ${TABLE}: it was built by an earlier version, or without that model.`));
    return () => {};
  }
  const chosen = route.id ? seriesOf(route.id) : stated();
  if (!chosen) {
    fill(view, h("p", { class: "empty" }, "This catalog has no series of l1_price or flow yet. Run: warehouse update"));
    return () => {};
  }
  return new StateView(view, chosen, route.query).begin();
}

/** The usual series, or the first one that has a market state. */
function stated() {
  const fits = (/** @type {import("./state.js").Series | undefined} */ one) => one?.datasets.some((name) => name === "l1_price" || name === "flow");
  const usual = usualSeries();
  return fits(usual) ? usual : all().series.find(fits);
}

class StateView extends Timeline {
  /** @param {HTMLElement} view @param {import("./state.js").Series} chosen @param {URLSearchParams} query */
  constructor(view, chosen, query) {
    super("state", chosen, query);
    this.beginning = this.span ? 0 : BEGINNING;
    /** Of each link, why it has no values. @type {HTMLElement[]} */
    this.why = [];
    /** What the series lacks behind a link, by series and link. @type {Map<string, Promise<{ datasets: string[], next: string[] }>>} */
    this.absent = new Map();
    this.links = LINKS.map((link) => ({ ...link, columns: [...link.drawn, ...link.read].filter((name) => column(TABLE, name)) }));
    fill(view, h("div", { class: "bar" }, this.choice, this.ranges,
      actions({ question: () => this.question(), pictures: () => this.drawn, name: () => `state ${this.series.symbol} ${this.series.interval}`.replace(/[^\w-]+/g, "_") })),
    h("section", { class: "grow chain" }, this.charts, this.status));
  }

  measures() {
    return this.links.map((link) => link.columns.map((name) => ({ table: TABLE, column: name, series: null })));
  }

  heights() {
    const room = innerHeight - this.charts.getBoundingClientRect().top - 34 - this.links.length - 30;
    const each = Math.max(64, Math.floor(room / this.links.length));
    return this.links.map((_, place) => (place === this.links.length - 1 ? each + 30 : each));
  }

  async arrange() {
    this.note();
    this.drawn.forEach((panel) => panel.destroy());
    this.charts.replaceChildren();
    const heights = this.heights();
    this.drawn = this.links.map((link, place) => {
      const readings = h("div", { class: "readings" });
      const box = h("div", { class: "link" }, h("div", { class: "said", title: link.about }, h("button", { class: "name", title: `${link.about}\nopen in Series`, onclick: () => this.openSeries(place, null) }, link.title), readings));
      const why = h("p", { class: "absent" });
      const plot = h("div", { class: "grow" }, why);
      this.why[place] = why;
      box.append(plot);
      this.charts.append(box);
      /** @type {Panel} */
      const panel = new Panel(plot, {
        sync: "state", height: heights[place], axis: place === this.links.length - 1,
        onSpan: (span, final) => this.move(span, final), onPick: (at) => this.openSeries(place, at), told: (at) => fill(readings, ...read(panel, at)),
      });
      return panel;
    });
    await this.fetch();
  }

  /** @param {Panel} panel @param {number} place @param {Held[]} tables @param {[number, number]} span */
  drawPanel(panel, place, tables, span) {
    const measures = this.measures()[place];
    const { x, columns, gaps } = this.values(measures, tables);
    const { drawn } = this.links[place];
    const lines = measures.map((measure, at) => ({
      label: measure.column, unit: this.unit(measure), values: columns[at] ?? [], hidden: !drawn.includes(measure.column), colour: drawn.length === 1 ? "--c1" : COLOURS[at],
    }));
    panel.draw({ x, lines, gaps, span, right: true });
    this.explain(panel, place);
  }

  /** Name the datasets that an empty panel needs and the series lacks. @param {Panel} panel @param {number} place */
  async explain(panel, place) {
    const { columns } = this.links[place];
    const [why, key] = [this.why[place], `${this.series.id} ${place}`];
    fill(why);
    if (!panel.isEmpty || !columns.length) return;
    if (!this.absent.has(key)) this.absent.set(key, get("absent", { table: TABLE, series: this.series.id, column: columns }, this.stop.signal));
    try {
      const { datasets, next } = /** @type {{ datasets: string[], next: string[] }} */ (await this.absent.get(key));
      if (panel.isEmpty && datasets.length) fill(why, `This home has no ${datasets.join(", ")} of this series. Run: `, ...next.map(command));
    } catch {
      this.absent.delete(key); // the panel shows that it is empty
    }
  }

  /** @param {import("./route.js").Measure} measure */
  unit(measure) {
    return /_rank_/.test(measure.column) ? "rank" : super.unit(measure);
  }

  /** The measures of a link in the series view, about a moment or over the same span. @param {number} place @param {number | null} at */
  openSeries(place, at) {
    const [from, to] = this.span ?? this.whole;
    const half = at === null ? Infinity : Math.min(1.5 * DAY, (to - from) / 2);
    const [start, end] = at === null ? [from, to] : [at - half, at + half];
    const query = new URLSearchParams();
    for (const measure of this.measures()[place].slice(0, this.links[place].drawn.length)) query.append("p", measureText(measure));
    for (const [name, value] of Object.entries({ from: iso(start), to: iso(end), g: String(shownGeneration()) })) query.set(name, value);
    go("series", this.series.id, query);
  }
}

/** A command that breaks between its words only, not after the hyphens in them. @param {string} line */
function command(line) {
  return h("code", {}, ...line.split(" ").flatMap((word, place) => [place ? " " : "", h("span", {}, word)]));
}

/** The values of a panel at a point, or its last ones, with a bar for each rank. @param {Panel} panel @param {number | null} at */
function read(panel, at) {
  if (panel.isEmpty) return [h("small", {}, "no values in this span")];
  return (panel.drawing?.lines ?? []).map((line) => {
    let place = at ?? line.values.length - 1;
    if (at === null) while (place > 0 && typeof line.values[place] !== "number") place -= 1;
    const value = line.values[place];
    const rank = line.unit === "rank" && typeof value === "number" ? h("span", { class: "rank" }, h("i", { style: { width: `${100 * value}%` } })) : null;
    const unit = line.unit && !["none", "rank"].includes(line.unit) ? h("small", {}, ` ${line.unit}`) : null;
    return h("div", { class: "reading", title: column(TABLE, line.label)?.meaning ?? "" },
      h("i", { class: "swatch", style: { background: line.hidden ? "none" : css(line.colour ?? "--c1") } }), h("span", { class: "label" }, line.label), rank, h("b", {}, number(value), unit));
  });
}
