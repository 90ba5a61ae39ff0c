// Elements of the page. Data becomes text nodes only, never markup.

/**
 * An element with properties, listeners (`onclick`), data attributes and children.
 * @param {string} tag
 * @param {Record<string, any>} [props]
 * @param {...(Node | string | number | null | undefined | false)} children
 * @returns {any}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "style") Object.assign(element.style, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && name !== "list" && name !== "form") /** @type {any} */ (element)[name] = value;
    else element.setAttribute(name, String(value));
  }
  append(element, children);
  return element;
}

/**
 * @param {Element} element
 * @param {Array<Node | string | number | null | undefined | false>} children
 */
export function append(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/**
 * Replace what an element holds.
 * @param {Element} element
 * @param {...(Node | string | number | null | undefined | false)} children
 */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/** The value of a custom property of the style sheet, such as `--ink`.
 * @param {string} name */
export function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/**
 * Call `act` once, `ms` after the last of several calls.
 * @template {any[]} A
 * @param {(...given: A) => void} act
 * @param {number} ms
 * @returns {(...given: A) => void}
 */
export function debounced(act, ms) {
  /** @type {number | undefined} */
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), ms);
  };
}

/**
 * Show an error of the API: what happened, and what to do next.
 * @param {any} error
 */
export function problem(error) {
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("pre", {}, error.what ?? String(error)),
    error.next ? h("p", { class: "next" }, h("b", {}, "next "), error.next) : null,
  );
}

/**
 * Put a text into the clipboard, and say so on the button.
 * @param {string} text
 * @param {HTMLElement} [button]
 */
export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { value: text, class: "off" });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  if (!button) return;
  const former = button.textContent;
  button.textContent = "copied";
  setTimeout(() => (button.textContent = former), 900);
}

/**
 * Offer bytes as a file.
 * @param {Blob} blob
 * @param {string} name
 */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/**
 * A dialog with a title; Escape or a click beside it closes it.
 * @param {string} title
 * @param {...Node} children
 */
export function dialog(title, ...children) {
  const close = h("button", { class: "quiet", title: "close (Esc)", onclick: () => box.close() }, "✕");
  const box = h("dialog", {}, h("header", {}, h("h2", {}, title), close), ...children);
  box.addEventListener("close", () => box.remove());
  box.addEventListener("click", (/** @type {MouseEvent} */ event) => event.target === box && box.close());
  document.body.append(box);
  box.showModal();
  return box;
}
