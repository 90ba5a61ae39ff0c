// Days by coverage, a row for each series; a click leads to the series on that day.

import { get, shownGeneration } from "./api.js";
import { actions } from "./actions.js";
import { css, fill, h, problem } from "./dom.js";
import { counted, intervalSeconds, iso } from "./format.js";
import { paintedCanvas, picturesIn } from "./pen.js";
import { go, note } from "./route.js";
import { series, seriesLabel } from "./state.js";

const DAY = 86400;
const ROW = 16;
const MOST_MONTHS = 8;

/** @param {HTMLElement} view @param {import("./route.js").Route} route */
export function open(view, route) {
  const stop = new AbortController();
  const body = h("div", { class: "pad" }, h("p", { class: "busy" }, "counting …"));
  const bar = h("div", { class: "bar" });
  fill(view, bar, body);
  /** @type {any} */
  let answer = null;
  const draw = () => answer && days(body, answer);
  load(route.query.get("dataset"));
  addEventListener("themed", draw);
  const observer = new ResizeObserver(draw);
  observer.observe(body);

  /** @param {string | null} dataset */
  async function load(dataset) {
    try {
      answer = await get("calendar", { dataset }, stop.signal);
      note("calendar", "", new URLSearchParams({ dataset: answer.dataset, g: String(shownGeneration()) }));
      const choice = h("select", { "aria-label": "dataset", onchange: () => load(choice.value) },
        ...answer.datasets.map((/** @type {string} */ name) => h("option", { value: name, selected: name === answer.dataset }, name)));
      fill(bar, h("b", {}, "coverage of"), choice, summary(answer),
        actions({ question: () => ({ sql: "select * from meta.coverage where dataset = $dataset order by series_id, month", params: { dataset: answer.dataset } }), pictures: () => picturesIn(body), name: () => `coverage_${answer.dataset}` }));
      draw();
    } catch (error) {
      if (/** @type {any} */ (error).name !== "AbortError") fill(body, problem(error));
    }
  }
  return () => {
    stop.abort();
    observer.disconnect();
    removeEventListener("themed", draw);
  };
}

/** @param {any} answer */
function summary(answer) {
  const rows = answer.series.reduce((/** @type {number} */ sum, /** @type {any} */ one) => sum + one.rows, 0);
  const missing = answer.series.reduce((/** @type {number} */ sum, /** @type {any} */ one) => sum + one.expected - one.rows, 0);
  return h("span", {}, `${counted(answer.series.length, "series").replace("seriess", "series")}, ${counted(rows, "bar")}, `, missing ? h("b", {}, `${counted(missing, "bar")} missing`) : "none missing", missing ? `: ${byMonth(answer)}` : "");
}

/** Missing bars of each month, of all series. @param {any} answer */
function byMonth(answer) {
  /** @type {Map<string, number>} */
  const lost = new Map();
  for (const one of answer.series) {
    const step = intervalSeconds(series(one.series_id)?.interval ?? "");
    for (const [from, until] of one.gaps) {
      for (let start = from; start < until; ) {
        const month = iso(start, "day").slice(0, 7);
        const end = Math.min(until, Date.UTC(Number(month.slice(0, 4)), Number(month.slice(5))) / 1000);
        lost.set(month, (lost.get(month) ?? 0) + Math.round((end - start) / step));
        start = end;
      }
    }
  }
  const months = [...lost].sort().map(([month, bars]) => `${month} ${bars.toLocaleString("en-US")}`);
  return months.length > MOST_MONTHS ? `${months.slice(0, MOST_MONTHS).join(", ")} and ${months.length - MOST_MONTHS} other months` : months.join(", ");
}

/** Share of the bars that each day has, from the span and the gaps. @param {any} one @param {number} first @param {number} count */
export function shares(one, first, count) {
  const shares = new Float64Array(count).fill(-1);
  for (let day = 0; day < count; day += 1) {
    const start = Math.max((first + day) * DAY, one.first);
    const end = Math.min((first + day + 1) * DAY, one.last + 1);
    if (start < end) shares[day] = 1;
  }
  for (const [from, until] of one.gaps) {
    for (let day = Math.floor(from / DAY); day * DAY < until; day += 1) {
      const lost = Math.min(until, (day + 1) * DAY) - Math.max(from, day * DAY);
      if (day - first >= 0 && day - first < count) shares[day - first] -= lost / DAY;
    }
  }
  return shares;
}

/** @param {HTMLElement} body @param {any} answer */
function days(body, answer) {
  if (!answer.series.length) return fill(body, h("p", { class: "empty" }, "There are no bars of this dataset."));
  const first = Math.floor(Math.min(...answer.series.map((/** @type {any} */ one) => one.first)) / DAY);
  const last = Math.floor(Math.max(...answer.series.map((/** @type {any} */ one) => one.last)) / DAY);
  const count = last - first + 1;
  const left = Math.min(330, Math.max(150, body.clientWidth * 0.32));
  const width = body.clientWidth - 26;
  const size = Math.min(14, (width - left) / count);
  const height = 22 + ROW * answer.series.length;
  const canvas = paintedCanvas(left + size * count, height, (context) => {
    context.font = `12px ${css("--sans")}`;
    context.textBaseline = "middle";
    context.fillStyle = css("--muted");
    let free = 0;
    for (let day = 0; day < count; day += 1) {
      const text = iso((first + day) * DAY, "day");
      if ((day === 0 || text.endsWith("-01")) && left + day * size >= free) {
        context.fillText(text.slice(0, 7), left + day * size, 9);
        free = left + day * size + 58;
      }
    }
    answer.series.forEach((/** @type {any} */ one, /** @type {number} */ place) => {
      const top = 20 + place * ROW;
      context.fillStyle = css("--ink");
      context.fillText(seriesLabel(series(one.series_id)), 0, top + ROW / 2, left - 10);
      const days = [...shares(one, first, count)];
      /** @type {(colour: string, fits: (share: number) => boolean) => void} */
      const paint = (colour, fits) => {
        context.fillStyle = colour;
        days.forEach((share, day) => {
          if (fits(share)) context.fillRect(left + day * size, top + 1, Math.max(1, size - (size > 3 ? 1 : 0)), ROW - 3);
        });
      };
      // missing days last, so that none is hidden where many days share a pixel
      paint(css("--none"), (share) => share < 0);
      paint(css("--high"), (share) => share >= 0.9999);
      paint(css("--low"), (share) => share >= 0 && share < 0.9999);
    });
  });
  const told = h("span", {}, " ");
  const at = (/** @type {MouseEvent} */ event) => {
    const box = canvas.getBoundingClientRect();
    const one = answer.series[Math.floor((event.clientY - box.top - 20) / ROW)];
    const day = Math.floor((event.clientX - box.left - left) / size);
    return one && day >= 0 && day < count ? { one, day } : null;
  };
  canvas.addEventListener("mousemove", (/** @type {MouseEvent} */ event) => {
    const found = at(event);
    canvas.style.cursor = found ? "pointer" : "";
    if (!found) return (told.textContent = " ");
    const share = shares(found.one, first, count)[found.day];
    told.textContent = `${seriesLabel(series(found.one.series_id))}, ${iso((first + found.day) * DAY, "day")}: ${share < 0 ? "before or after its data" : `${(share * 100).toFixed(share < 1 && share > 0.99 ? 2 : 0)} % of the day's bars`}`;
  });
  canvas.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const found = at(event);
    if (!found) return;
    const start = (first + found.day) * DAY;
    go("series", found.one.series_id, new URLSearchParams({ from: iso(start - DAY), to: iso(start + 2 * DAY), g: String(shownGeneration()) }));
  });
  const key = (/** @type {string} */ colour, /** @type {string} */ text) => h("span", {}, h("i", { style: { background: css(colour) } }), text);
  fill(body, h("div", { class: "scale" }, key("--high", "complete"), key("--low", "bars are missing"), key("--none", "outside of the data"), told), canvas);
}
