// Builds elements, and makes those that are on the page like new ones without losing focus, scroll or open parts.

export type Child = Node | string | number | null | undefined | false | Child[];
type Handler = (event: any) => void;
export type Attributes = Record<string, string | number | boolean | null | undefined | Handler>;

const SVG = "http://www.w3.org/2000/svg";
const EVENTS = ["onclick", "onsubmit", "onchange", "onpointermove", "onpointerleave"] as const;
type Listening = Record<string, Handler | null>;

function fill(node: Element, attributes: Attributes, children: Child[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      (node as unknown as Listening)[name] = value;
    } else if (value === true) {
      node.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      node.setAttribute(name, String(value));
    }
  }
  append(node, children);
}

function append(node: Element, children: Child[]): void {
  for (const child of children) {
    if (Array.isArray(child)) append(node, child);
    else if (child instanceof Node) node.append(child);
    // Always text, never markup: names and reasons in answers are somebody's words.
    else if (child !== null && child !== undefined && child !== false) node.append(String(child));
  }
}

/** An HTML element. A function is a handler; null, undefined and false leave an attribute or a child out. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const node = document.createElement(tag);
  fill(node, attributes, children);
  return node;
}

/** An SVG element. */
export function s(tag: string, attributes: Attributes = {}, ...children: Child[]): SVGElement {
  const node = document.createElementNS(SVG, tag) as SVGElement;
  fill(node, attributes, children);
  return node;
}

/** What draws the inside of an element for the width that it has. */
export type Draw = (node: HTMLElement, width: number) => void;
const draws = new WeakMap<Element, Draw>();
const widths = new ResizeObserver((entries) => {
  for (const entry of entries) draw(entry.target as HTMLElement, entry.contentRect.width);
});

function draw(node: HTMLElement, width: number): void {
  if (width > 0) draws.get(node)?.(node, width);
}

/** An element whose inside `how` draws, now and whenever its width changes. */
export function drawn(attributes: Attributes, how: Draw): HTMLElement {
  const node = h("div", attributes);
  draws.set(node, how);
  widths.observe(node);
  return node;
}

const overflows = new ResizeObserver((entries) => entries.forEach((entry) => makeReachable(entry.target)));

// Who has no pointer scrolls what has the focus; what shows all that it has need not be stopped at.
function makeReachable(node: Element): void {
  if (node.scrollWidth > node.clientWidth + 1) node.setAttribute("tabindex", "0");
  else node.removeAttribute("tabindex");
}

/** A box that scrolls sidewards when its inside is wider, and can then be reached by keyboard. */
export function scrolling<Tag extends "div" | "pre">(tag: Tag, name: string, attributes: Attributes,
    ...children: Child[]): HTMLElement {
  const node = h(tag, { ...attributes, role: "group", "aria-label": name, "data-scrolls": true }, ...children);
  overflows.observe(node);
  return node;
}

// What a person has changed on the page is theirs, and what its size has changed is the size's.
function belongsElsewhere(node: Element, attribute: string): boolean {
  if (attribute === "tabindex") return node.hasAttribute("data-scrolls");
  return attribute === "open" && (node.nodeName === "DETAILS" || node.nodeName === "DIALOG");
}

function patchAttributes(target: Element, source: Element): void {
  for (const { name } of [...target.attributes])
    if (!source.hasAttribute(name) && !belongsElsewhere(target, name)) target.removeAttribute(name);
  for (const { name, value } of [...source.attributes])
    if (target.getAttribute(name) !== value && !belongsElsewhere(target, name)) target.setAttribute(name, value);
  for (const event of EVENTS) {
    const to = target as unknown as Listening;
    const from = source as unknown as Listening;
    if (to[event] !== from[event]) to[event] = from[event] ?? null;
  }
}

function isLike(target: Node, source: Node): boolean {
  if (target.nodeName !== source.nodeName) return false;
  if (!(target instanceof Element) || !(source instanceof Element)) return true;
  return target.getAttribute("data-key") === source.getAttribute("data-key") && target.id === source.id;
}

/** Makes `target` like `source`, and keeps of it whatever is alike. `source` is used up. */
export function patch(target: Element, source: Element): void {
  patchAttributes(target, source);
  const how = draws.get(source);
  if (how) {
    widths.unobserve(source);
    draws.set(target, how);
    draw(target as HTMLElement, target.clientWidth);
    return;
  }
  const wanted = [...source.childNodes];
  wanted.forEach((node, at) => {
    const there = target.childNodes[at];
    if (!there) target.append(node);
    else if (!isLike(there, node)) there.replaceWith(node);
    else if (there instanceof Element) patch(there, node as Element);
    else if (there.nodeValue !== node.nodeValue) there.nodeValue = node.nodeValue;
  });
  while (target.childNodes.length > wanted.length) target.lastChild?.remove();
  if (target.hasAttribute("data-scrolls")) makeReachable(target);
}
