// One panel: a uPlot chart with ISO times in UTC, tinted gaps, wheel zoom and a shared cursor.

import { css, h } from "./dom.js";
import { axisLabels, iso, number, timeLabels } from "./format.js";

/** @type {any} */
const uPlot = /** @type {any} */ (window).uPlot;

/** Colours by Okabe and Ito, which the colour-blind can distinguish. */
export const COLOURS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7"];

/**
 * @typedef {{ label: string, unit: string | null, values: (number | null | undefined)[], colour?: string, bar?: boolean }} Line
 * @typedef {{ x: number[], lines: Line[], gaps: [number, number][], span: [number, number] | null, bands?: [number, number][], time?: boolean, log?: boolean }} Drawing
 */

export class Panel {
  /**
   * @param {HTMLElement} place
   * @param {{ sync?: string, onSpan?: (span: [number, number], final: boolean) => void, height: number, axis: boolean }} options
   */
  constructor(place, options) {
    this.place = place;
    this.options = options;
    this.height = options.height;
    /** @type {Drawing | null} */
    this.drawing = null;
    /** @type {any} */
    this.plot = null;
    this.key = "";
    this.legend = h("div", { class: "legend" });
    this.box = h("div", { class: "plot" });
    place.append(this.legend, this.box);
  }

  get width() {
    return Math.max(120, this.box.clientWidth);
  }

  /** Pixels of the plot's inner width. */
  get pixels() {
    return this.plot ? this.plot.bbox.width / devicePixelRatio : this.width - 110;
  }

  /** @param {Drawing} drawing */
  draw(drawing) {
    this.drawing = drawing;
    const key = JSON.stringify([drawing.lines.map((line) => [line.label, line.unit, line.colour, line.bar]), drawing.bands, drawing.time, drawing.log]);
    const data = [drawing.x, ...drawing.lines.map((line) => line.values)];
    if (this.plot && key === this.key) {
      this.plot.batch(() => {
        this.plot.setData(data, false);
        this.fit();
      });
    } else {
      this.destroy();
      this.key = key;
      this.plot = new uPlot(this.made(drawing), data, this.box);
      this.fit();
      if (this.options.onSpan) this.listen();
    }
    this.tell(null);
  }

  fit() {
    const { span, x } = /** @type {Drawing} */ (this.drawing);
    const [min, max] = span ?? [x[0] ?? 0, x[x.length - 1] ?? 1];
    this.plot.setScale("x", { min, max: max > min ? max : min + 1 });
  }

  resize() {
    if (this.plot) this.plot.setSize({ width: this.width, height: this.height });
  }

  destroy() {
    this.plot?.destroy();
    this.plot = null;
  }

  /** Draw again, in the colours of another theme. */
  repaint() {
    if (!this.drawing) return;
    this.key = "";
    this.draw(this.drawing);
  }

  /** Numbers of the legend at a point; the last ones that are drawn without one. @param {number | null} at */
  tell(at) {
    const drawing = this.drawing;
    if (!drawing) return;
    const parts = drawing.lines.map((line, place) => {
      const value = at === null ? null : line.values[at];
      const colour = line.colour ?? COLOURS[place % COLOURS.length];
      const swatch = h("i", { class: "swatch", style: { background: css(colour) } });
      return h("span", { class: "entry" }, swatch, line.label, line.unit ? h("small", {}, ` ${line.unit}`) : null, at === null ? null : h("b", {}, ` ${number(value)}`));
    });
    this.legend.replaceChildren(...parts);
  }

  /** @param {Drawing} drawing */
  made(drawing) {
    const isTime = drawing.time !== false;
    const units = [...new Set(drawing.lines.map((line) => line.unit ?? ""))].slice(0, 2);
    const scaleOf = (/** @type {Line} */ line) => (units.indexOf(line.unit ?? "") === 1 ? "right" : "y");
    const grid = { stroke: css("--grid"), width: 1 };
    const ticks = { stroke: css("--grid"), width: 1, size: 4 };
    const font = `11px ${css("--sans")}`;
    const axis = (/** @type {string} */ scale, /** @type {boolean} */ right) => ({
      scale, side: right ? 1 : 3, size: 62, stroke: css("--muted"), grid: right ? { show: false } : grid, ticks, font,
      values: (/** @type {any} */ _, /** @type {number[]} */ values) => axisLabels(values),
    });
    const range = (/** @type {any} */ _, /** @type {number} */ low, /** @type {number} */ high) => {
      if (low === null || high === null) return [0, 1];
      if (drawing.log) return [low, high];
      const pad = (high - low || Math.abs(high) || 1) * 0.06;
      return [low - pad, high + pad];
    };
    const distribution = drawing.log ? 3 : 1;
    return {
      width: this.width,
      height: this.height,
      tzDate: (/** @type {number} */ at) => uPlot.tzDate(new Date(at * 1e3), "Etc/UTC"),
      legend: { show: false },
      padding: [8, units.length > 1 ? 0 : 14, 0, 0],
      cursor: {
        sync: this.options.sync ? { key: this.options.sync, scales: ["x", null] } : undefined,
        drag: { x: true, y: false, setScale: !this.options.onSpan },
        points: { size: 5 },
        focus: { prox: -1 },
      },
      scales: { x: { time: isTime }, y: { range, distr: distribution }, ...(units.length > 1 ? { right: { range, distr: distribution } } : {}) },
      axes: [
        {
          stroke: css("--muted"), grid, ticks, font, size: this.options.axis ? (isTime ? 34 : 24) : 6, space: 76,
          values: (/** @type {any} */ _, /** @type {number[]} */ values, __ = 0, ___ = 0, step = 1) =>
            this.options.axis ? (isTime ? timeLabels(values, step) : axisLabels(values)) : values.map(() => ""),
        },
        axis("y", false),
        ...(units.length > 1 ? [axis("right", true)] : []),
      ],
      bands: (drawing.bands ?? []).map((pair) => ({ series: pair.map((place) => place + 1), fill: css("--band") })),
      series: [
        {},
        ...drawing.lines.map((line, place) => ({
          label: line.label,
          scale: scaleOf(line),
          stroke: css(line.colour ?? COLOURS[place % COLOURS.length]),
          width: 1.1,
          points: { size: 3, filter: isolated },
          paths: line.bar ? uPlot.paths.bars({ size: [0.7, 40], align: 1 }) : undefined,
          fill: line.bar ? css(line.colour ?? COLOURS[place % COLOURS.length]) : undefined,
        })),
      ],
      hooks: {
        drawAxes: [(/** @type {any} */ plot) => this.tint(plot)],
        setCursor: [(/** @type {any} */ plot) => this.moved(plot)],
        setSelect: [(/** @type {any} */ plot) => this.selected(plot)],
      },
    };
  }

  /** Tint the spans without bars, at least one pixel wide. @param {any} plot */
  tint(plot) {
    const { left, top, width, height } = plot.bbox;
    plot.ctx.save();
    plot.ctx.fillStyle = css("--gap");
    for (const [start, end] of this.drawing?.gaps ?? []) {
      const from = Math.max(left, plot.valToPos(start, "x", true));
      const until = Math.min(left + width, plot.valToPos(end, "x", true));
      if (until >= left && from <= left + width) plot.ctx.fillRect(from, top, Math.max(1, until - from), height);
    }
    plot.ctx.restore();
  }

  /** @param {any} plot */
  moved(plot) {
    const at = plot.cursor.idx;
    this.tell(at ?? null);
    this.options.onSpan && plot.root.dispatchEvent(new CustomEvent("at", { detail: at === null || at === undefined ? null : plot.data[0][at], bubbles: true }));
  }

  /** @param {any} plot */
  selected(plot) {
    if (!this.options.onSpan || plot.select.width < 4) return;
    const from = plot.posToVal(plot.select.left, "x");
    const until = plot.posToVal(plot.select.left + plot.select.width, "x");
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.options.onSpan([from, until], true);
  }

  /** Wheel zooms at the pointer, shift and wheel pans, a double click shows all. */
  listen() {
    const over = this.plot.over;
    over.addEventListener("wheel", (/** @type {WheelEvent} */ event) => {
      event.preventDefault();
      const { min, max } = this.plot.scales.x;
      const size = max - min;
      const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
      const by = sideways ? event.deltaX || event.deltaY : event.deltaY;
      const unit = event.deltaMode === 1 ? 33 : 1;
      if (sideways) {
        const moved = (size * by * unit) / this.pixels;
        this.options.onSpan?.([min + moved, max + moved], false);
        return;
      }
      const share = (event.clientX - over.getBoundingClientRect().left) / over.clientWidth;
      const scaled = size * Math.exp(Math.max(-1, Math.min(1, (by * unit) / 400)));
      const at = min + share * size;
      this.options.onSpan?.([at - share * scaled, at + (1 - share) * scaled], false);
    }, { passive: false });
    over.addEventListener("dblclick", () => this.options.onSpan?.([-Infinity, Infinity], true));
  }
}

/** Points that have no neighbour to draw a line to. @param {any} plot @param {number} place */
function isolated(plot, place) {
  const values = plot.data[place];
  const [low, high] = plot.series[0].idxs;
  const found = [];
  for (let at = low; at <= high; at += 1) {
    if (values[at] === null || values[at] === undefined) continue;
    let before = at - 1;
    while (before >= low && values[before] === undefined) before -= 1;
    let after = at + 1;
    while (after <= high && values[after] === undefined) after += 1;
    if ((values[before] ?? null) === null && (values[after] ?? null) === null) found.push(at);
  }
  return found;
}

/** The moment under the cursor, for a status line. @param {number | null} at */
export function moment(at) {
  return at === null ? "" : `${iso(at, "second")} UTC`;
}
