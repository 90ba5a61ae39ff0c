// Times as ISO 8601 in UTC, numbers with as many digits as they need.

/**
 * @param {number} seconds since the epoch
 * @param {"day" | "minute" | "second"} [to]
 */
export function iso(seconds, to = "minute") {
  if (!Number.isFinite(seconds)) return "";
  const text = new Date(seconds * 1000).toISOString();
  if (to === "day") return text.slice(0, 10);
  return `${text.slice(0, 10)} ${text.slice(11, to === "minute" ? 16 : 19)}`;
}

/** Seconds of an ISO text, read as UTC; NaN if it is none.
 * @param {string} text */
export function seconds(text) {
  const plain = text.trim().replace(" ", "T");
  if (!/^\d{4}-\d{2}(-\d{2})?(T\d{2}(:\d{2}(:\d{2}(\.\d+)?)?)?)?Z?$/.test(plain)) return NaN;
  let full = plain.replace("Z", "");
  if (full.length === 7) full += "-01";
  if (full.length === 10) full += "T00:00";
  if (full.length === 13) full += ":00";
  return Date.parse(`${full}Z`) / 1000;
}

/** A number for a label: grouped, six significant digits.
 * @param {number | null | undefined} value */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "·";
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e12 || size < 1e-5)) return value.toExponential(3);
  const decimals = size >= 1000 ? 2 : Math.max(0, 6 - Math.max(1, Math.ceil(Math.log10(size || 1))));
  return value.toLocaleString("en-US", { maximumFractionDigits: Math.min(decimals, 8) });
}

/** Numbers for an axis, with as many digits as their steps need and in one unit: 1.2M, 350k, 0.004.
 * @param {(number | null)[]} values */
export function axisLabels(values) {
  const known = values.filter((value) => value !== null);
  const size = Math.max(0, ...known.map(Math.abs));
  const step = Math.min(...known.slice(1).map((value, place) => Math.abs(value - known[place])).filter((one) => one > 0), size || 1);
  const [unit, letter] = /** @type {[number, string][]} */ ([[1e9, "G"], [1e6, "M"], [1e3, "k"]]).find(([one]) => size >= one * (one === 1e3 ? 100 : 1) && step >= one / 1e3) ?? [1, ""];
  const digits = digitsOf(step / unit);
  return values.map((value) => {
    if (value === null) return "";
    if (value !== 0 && size < 1e-4) return value.toExponential(digitsOf(step / 10 ** Math.floor(Math.log10(Math.abs(value)))));
    return `${(value / unit).toLocaleString("en-US", { maximumFractionDigits: digits })}${value ? letter : ""}`;
  });
}

/** Decimals with which multiples of a step are exact. @param {number} step */
function digitsOf(step) {
  let digits = 0;
  while (digits < 15 && Math.abs(Math.round(step * 10 ** digits) / 10 ** digits - step) > step * 1e-6) digits += 1;
  return digits;
}

/** A count with its noun. @param {number} count @param {string} noun */
export function counted(count, noun) {
  return `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`;
}

/** Seconds of an interval such as 5m. @param {string} interval */
export function intervalSeconds(interval) {
  const [, count, letter] = /^(\d+)([smhdw])$/.exec(interval) ?? ["", "1", "s"];
  return Number(count) * /** @type {Record<string, number>} */ ({ s: 1, m: 60, h: 3600, d: 86400, w: 604800 })[letter];
}

/** A span of seconds such as 5m or 2d. @param {number} span */
export function duration(span) {
  for (const [size, letter] of /** @type {Array<[number, string]>} */ ([[86400, "d"], [3600, "h"], [60, "m"]])) {
    if (span >= size) return `${+(span / size).toFixed(1)}${letter}`;
  }
  return span >= 1 ? `${+span.toFixed(1)}s` : `${+(span * 1000).toPrecision(3)}ms`;
}

/**
 * Ticks of a time axis at round UTC moments, with the day on the first tick of each day.
 * @param {number[]} ticks
 * @param {number} step
 */
export function timeLabels(ticks, step) {
  let day = "";
  return ticks.map((tick) => {
    const text = iso(tick, "second");
    const date = text.slice(0, 10);
    if (step >= 86400 * 27) return date.slice(0, 7);
    if (step >= 86400) return date;
    const clock = text.slice(11, step < 60 ? 19 : 16);
    const label = date === day ? clock : `${date}\n${clock}`;
    day = date;
    return label;
  });
}
