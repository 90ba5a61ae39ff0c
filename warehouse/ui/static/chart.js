// One panel: a uPlot chart with ISO times in UTC, tinted gaps, wheel zoom and a shared cursor.

import { css, h } from "./dom.js";
import { axisLabels, iso, number, timeLabels } from "./format.js";

/** @type {any} */
const uPlot = /** @type {any} */ (window).uPlot;

const SIDES = [["ask_price", "bid_price"], ["q90", "q10"], ["q75", "q25"]];

// Width of a second axis; a panel without one leaves it free, so that all share one x.
const RIGHT = 62;

/** Colours by Okabe and Ito, which the colour-blind can distinguish. */
export const COLOURS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7"];

/**
 * @typedef {{ label: string, unit: string | null, values: (number | null | undefined)[], colour?: string, hidden?: boolean }} Line
 * @typedef {{ x: number[], lines: Line[], gaps: [number, number][], span: [number, number] | null, time?: boolean, log?: boolean, right?: boolean }} Drawing
 */

export class Panel {
  /**
   * @param {HTMLElement} place
   * @param {{ sync?: string, onSpan?: (span: [number, number], final: boolean) => void, onPick?: (at: number) => void, told?: (at: number | null) => void, height: number, axis: boolean }} options
   */
  constructor(place, options) {
    this.place = place;
    this.options = options;
    this.height = options.height;
    /** @type {Drawing | null} */
    this.drawing = null;
    /** @type {any} */
    this.plot = null;
    /** @type {Drawing | null} */
    this.given = null;
    /** Labels of the lines that a click on the legend hid. @type {Set<string>} */
    this.off = new Set();
    this.isEmpty = false;
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

  /** @param {Drawing} given */
  draw(given) {
    const lines = given.lines.map((line) => (this.off.has(line.label) ? { ...line, hidden: true } : line));
    const drawing = { ...given, lines };
    this.given = given;
    this.drawing = drawing;
    this.isEmpty = drawing.lines.every((line) => line.values.every((value) => value === null || value === undefined));
    const key = JSON.stringify([drawing.lines.map((line) => [line.label, line.unit, line.colour, line.hidden]), drawing.time, drawing.log, drawing.right]);
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

  /** @returns {HTMLCanvasElement} */
  get canvas() {
    return this.plot.ctx.canvas;
  }

  /** Draw what is shown with another pen, in CSS pixels. @param {any} pen */
  paint(pen) {
    if (this.plot && this.drawing) paintPlot(pen, this.plot, this.drawing);
  }

  /** Draw again, in the colours of another theme. */
  repaint() {
    if (!this.given) return;
    this.key = "";
    this.draw({ ...this.given, span: this.drawing?.span ?? null });
  }

  /** Hide a line, or show it again. @param {string} label */
  toggle(label) {
    if (!this.off.delete(label)) this.off.add(label);
    this.repaint();
  }

  /** Numbers of the legend at a point; the last ones that are drawn without one. @param {number | null} at */
  tell(at) {
    const drawing = this.drawing;
    if (!drawing) return;
    if (this.options.told) return this.options.told(at);
    const parts = drawing.lines.map((line, place) => {
      const value = at === null ? null : line.values[at];
      const colour = line.colour ?? COLOURS[place % COLOURS.length];
      const swatch = h("i", { class: "swatch", style: { background: css(colour) } });
      const title = "hide this line, or show it again";
      return h("button", { class: this.off.has(line.label) ? "entry dim" : "entry", title, "aria-pressed": String(!this.off.has(line.label)), onclick: () => this.toggle(line.label) }, swatch, line.label, line.unit ? h("small", {}, ` ${line.unit}`) : null, at === null ? null : h("b", {}, ` ${number(value)}`));
    });
    this.legend.replaceChildren(...parts, this.isEmpty ? "no values in this span" : "");
  }

  /** @param {Drawing} drawing */
  made(drawing) {
    const isTime = drawing.time !== false;
    const units = [...new Set(drawing.lines.filter((line) => !line.hidden).map((line) => line.unit ?? ""))].slice(0, 2);
    const scaleOf = (/** @type {Line} */ line) => (units.indexOf(line.unit ?? "") === 1 ? "right" : "y");
    const grid = { stroke: css("--grid"), width: 1 };
    const ticks = { stroke: css("--grid"), width: 1, size: 4 };
    const font = `11px ${css("--sans")}`;
    const axis = (/** @type {string} */ scale, /** @type {boolean} */ right) => ({
      scale, side: right ? 1 : 3, size: right ? RIGHT : 62, stroke: css("--muted"), grid: right ? { show: false } : grid, ticks, font, space: 26,
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
      padding: [8, units.length > 1 ? 0 : drawing.right ? RIGHT : 30, 0, 0],
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
      bands: bands(drawing.lines).map((pair) => ({ series: pair.map((place) => place + 1), fill: css("--band") })),
      series: [
        {},
        ...drawing.lines.map((line, place) => ({
          label: line.label,
          scale: scaleOf(line),
          show: !line.hidden,
          stroke: css(line.colour ?? COLOURS[place % COLOURS.length]),
          width: 1.1,
          points: { size: 3, filter: isolated },
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

  /** The wheel zooms at the pointer, with Shift it moves along, a double click shows all. */
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
    const pick = this.options.onPick;
    let pressed = 0;
    over.addEventListener("mousedown", (/** @type {MouseEvent} */ event) => (pressed = event.clientX));
    if (pick) over.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      if (Math.abs(event.clientX - pressed) < 4) pick(this.plot.posToVal(this.plot.cursor.left, "x"));
    });
    over.addEventListener("dblclick", () => this.options.onSpan?.([-Infinity, Infinity], true));
  }
}

/** A plot as its canvas shows it. @param {any} pen @param {any} plot @param {Drawing} drawing */
function paintPlot(pen, plot, drawing) {
  const scale = devicePixelRatio || 1;
  const [left, top, width, height] = [plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height].map((size) => size / scale);
  const px = (/** @type {number} */ at) => left + plot.valToPos(at, "x");
  const path = (/** @type {number[][]} */ points) => {
    pen.beginPath();
    points.forEach(([x, y], place) => (place ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  };
  const line = (/** @type {number[][]} */ points) => {
    path(points);
    pen.stroke();
  };
  pen.font = "11px sans-serif";
  plot.axes.forEach((/** @type {any} */ axis, /** @type {number} */ place) => {
    const isX = place === 0;
    (axis._splits ?? []).forEach((/** @type {number} */ split, /** @type {number} */ tick) => {
      const at = isX ? px(split) : top + plot.valToPos(split, axis.scale);
      pen.strokeStyle = css("--grid");
      if (axis.side !== 1) line(isX ? [[at, top], [at, top + height]] : [[left, at], [left + width, at]]);
      pen.fillStyle = css("--muted");
      pen.textAlign = isX ? "center" : axis.side === 1 ? "left" : "right";
      String(axis._values?.[tick] ?? "").split("\n").forEach((text, row) =>
        text && pen.fillText(text, isX ? at : axis.side === 1 ? left + width + 8 : left - 8, isX ? top + height + 16 + row * 13 : at + 4));
    });
  });
  pen.save();
  pen.beginPath();
  pen.rect(left, top, width, height);
  pen.clip();
  pen.fillStyle = css("--gap");
  for (const [start, end] of drawing.gaps) pen.fillRect(px(start), top, Math.max(1, px(end) - px(start)), height);
  const [low, high] = plot.series[0].idxs;
  /** The stretches of a line without a missing value. @type {(place: number) => number[][][]} */
  const runs = (place) => {
    /** @type {number[][][]} */
    const found = [[]];
    for (let at = Math.max(0, low - 1); at <= Math.min(high + 1, drawing.x.length - 1); at += 1) {
      const value = drawing.lines[place].values[at];
      if (value === null) found.push([]);
      else if (value !== undefined) found[found.length - 1].push([px(drawing.x[at]), top + plot.valToPos(value, plot.series[place + 1].scale)]);
    }
    return found.filter((run) => run.length);
  };
  for (const [above, below] of bands(drawing.lines)) {
    pen.fillStyle = css("--band");
    const [first, second] = [runs(above), runs(below)];
    first.forEach((run, place) => {
      if (!second[place]) return;
      path([...run, ...[...second[place]].reverse()]);
      pen.closePath();
      pen.fill();
    });
  }
  const shown = drawing.lines.map((one, place) => ({ one, place })).filter(({ one }) => !one.hidden);
  shown.forEach(({ one, place }) => {
    pen.strokeStyle = pen.fillStyle = css(one.colour ?? COLOURS[place % COLOURS.length]);
    pen.lineWidth = 1.1;
    for (const run of runs(place)) {
      if (run.length > 1) line(run);
      else pen.fillRect(run[0][0] - 1, run[0][1] - 1, 2, 2);
    }
  });
  pen.restore();
  pen.textAlign = "left";
  let from = left + 6;
  shown.forEach(({ one, place }) => {
    pen.fillStyle = css(one.colour ?? COLOURS[place % COLOURS.length]);
    const text = `${one.label}${one.unit && one.unit !== "none" ? ` [${one.unit}]` : ""}`;
    pen.fillText(text, from, top + 12);
    from += text.length * 6.6 + 16;
  });
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

/** Pairs of lines that are the two sides of one band, such as ask and bid. @param {Line[]} lines @returns {[number, number][]} */
function bands(lines) {
  const place = (/** @type {string} */ label) => lines.findIndex((one) => one.label === label && !one.hidden);
  return lines.flatMap((line, above) => {
    const side = SIDES.find(([name]) => line.label.includes(name));
    const below = side ? place(line.label.replace(side[0], side[1])) : -1;
    return side && below >= 0 && !line.hidden ? [/** @type {[number, number]} */ ([above, below])] : [];
  });
}

/** The moment under the cursor, for a status line. @param {number | null} at */
export function moment(at) {
  return at === null ? "" : `${iso(at, "second")} UTC`;
}
