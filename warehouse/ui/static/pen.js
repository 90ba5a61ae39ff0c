// A canvas's drawing calls as SVG, as far as the charts use them, and canvases that remember theirs.

import { css, h } from "./dom.js";

/**
 * What can be saved: the size and the canvas of a picture, and how to draw it again.
 * @typedef {{ width: number, height: number, canvas: HTMLCanvasElement, paint: (pen: any) => void }} Picture
 */

/** @type {WeakMap<HTMLCanvasElement, Picture>} */
const painted = new WeakMap();

/** A canvas that a function paints, in CSS pixels. @param {number} width @param {number} height @param {(pen: any) => void} paint */
export function paintedCanvas(width, height, paint) {
  const scale = devicePixelRatio || 1;
  const canvas = h("canvas", { class: "heat", width: Math.round(width * scale), height: Math.round(height * scale), style: { width: `${width}px`, height: `${height}px` } });
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  paint(pen);
  painted.set(canvas, { width, height, canvas, paint });
  return canvas;
}

/** Pictures of the canvases within an element. @param {Element} element @returns {Picture[]} */
export function picturesIn(element) {
  return [...element.querySelectorAll("canvas")].flatMap((canvas) => painted.get(canvas) ?? []);
}

/** Pictures below one another as one SVG file. @param {Picture[]} pictures */
export function svgOf(pictures) {
  const width = Math.max(1, ...pictures.map((one) => one.width));
  const height = pictures.reduce((sum, one) => sum + one.height, 0);
  let top = 0;
  const parts = pictures.map((one) => {
    const pen = new SvgPen();
    one.paint(pen);
    const part = `<g transform="translate(0 ${top})">${pen.text()}</g>`;
    top += one.height;
    return part;
  });
  const paper = `<rect width="${width}" height="${height}" fill="${escaped(css("--paper"))}"/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">${paper}${parts.join("\n")}</svg>\n`;
}

let clips = 0;

class SvgPen {
  constructor() {
    this.fillStyle = this.strokeStyle = "#000";
    this.lineWidth = this.globalAlpha = 1;
    this.font = "";
    this.textAlign = "start";
    this.textBaseline = "alphabetic";
    /** @type {string[]} */
    this.parts = [];
    /** @type {string[]} */
    this.path = [];
    /** @type {any[]} */
    this.saved = [];
    this.open = 0;
  }

  text() {
    return this.parts.join("\n") + "</g>".repeat(this.open);
  }

  save() {
    const { fillStyle, strokeStyle, lineWidth, globalAlpha, font, textAlign, textBaseline, open } = this;
    this.saved.push({ fillStyle, strokeStyle, lineWidth, globalAlpha, font, textAlign, textBaseline, open });
  }

  restore() {
    const before = this.saved.pop();
    if (!before) return;
    this.parts.push("</g>".repeat(this.open - before.open));
    Object.assign(this, before);
  }

  /** @param {string} attributes */
  group(attributes) {
    this.parts.push(`<g ${attributes}>`);
    this.open += 1;
  }

  /** @param {number} x @param {number} y */
  translate(x, y) {
    this.group(`transform="translate(${round(x)} ${round(y)})"`);
  }

  /** @param {number} angle */
  rotate(angle) {
    this.group(`transform="rotate(${round((angle * 180) / Math.PI)})"`);
  }

  beginPath() {
    this.path = [];
  }

  /** @param {number} x @param {number} y */
  moveTo(x, y) {
    this.path.push(`M${round(x)} ${round(y)}`);
  }

  /** @param {number} x @param {number} y */
  lineTo(x, y) {
    this.path.push(`${this.path.length ? "L" : "M"}${round(x)} ${round(y)}`);
  }

  closePath() {
    this.path.push("Z");
  }

  /** @param {number} x @param {number} y @param {number} width @param {number} height */
  rect(x, y, width, height) {
    this.path.push(`M${round(x)} ${round(y)}h${round(width)}v${round(height)}h${round(-width)}Z`);
  }

  /** A whole circle. @param {number} x @param {number} y @param {number} radius */
  arc(x, y, radius) {
    const size = round(radius);
    this.path.push(`M${round(x - radius)} ${round(y)}a${size} ${size} 0 1 0 ${round(2 * radius)} 0a${size} ${size} 0 1 0 ${round(-2 * radius)} 0Z`);
  }

  clip() {
    clips += 1;
    this.parts.push(`<clipPath id="clip${clips}"><path d="${this.path.join("")}"/></clipPath>`);
    this.group(`clip-path="url(#clip${clips})"`);
  }

  stroke() {
    this.draw(`fill="none" stroke="${escaped(this.strokeStyle)}" stroke-width="${round(this.lineWidth)}" stroke-linejoin="round"`);
  }

  fill() {
    this.draw(`fill="${escaped(this.fillStyle)}"`);
  }

  /** @param {string} attributes */
  draw(attributes) {
    if (this.path.length) this.parts.push(`<path d="${this.path.join("")}" ${attributes}${this.alpha()}/>`);
  }

  /** @param {number} x @param {number} y @param {number} width @param {number} height */
  fillRect(x, y, width, height) {
    this.parts.push(`<rect x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}" fill="${escaped(this.fillStyle)}"${this.alpha()}/>`);
  }

  /** @param {string} text @param {number} x @param {number} y @param {number} [room] */
  fillText(text, x, y, room) {
    const anchor = /** @type {Record<string, string>} */ ({ center: "middle", right: "end", end: "end" })[this.textAlign] ?? "start";
    const size = Number(/(\d+)px/.exec(this.font)?.[1] ?? 12);
    const down = this.textBaseline === "middle" ? size * 0.35 : this.textBaseline === "top" ? size * 0.8 : 0;
    const narrow = room && text.length * size * 0.56 > room ? ` textLength="${round(room)}" lengthAdjust="spacingAndGlyphs"` : "";
    this.parts.push(`<text x="${round(x)}" y="${round(y + down)}" text-anchor="${anchor}" font-size="${size}" font-family="sans-serif" fill="${escaped(this.fillStyle)}"${narrow}${this.alpha()}>${escaped(text)}</text>`);
  }

  alpha() {
    return this.globalAlpha === 1 ? "" : ` opacity="${round(this.globalAlpha)}"`;
  }
}

/** @param {number} value */
function round(value) {
  return String(Math.round(value * 100) / 100);
}

/** @param {string} text */
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;").replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "\ufffd");
}
