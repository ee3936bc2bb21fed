// What the pages are put together from.
import { answerOf, Problem } from "./api";
import { type Attributes, type Child, h, scrolling } from "./dom";
import { words } from "./format";

/** The call that an answer came from. */
export interface Source {
  path: string;
  /** What else went in. */
  more?: string;
}

/** Names the call that made what stands above; followed, it shows what came, and how to ask for it elsewhere. */
export function sourceLine(source: Source, tag: "p" | "figcaption" = "p"): HTMLElement {
  return h(tag, { class: "source" }, "From ", sourceLink(source.path), source.more ? ` ${source.more}` : null);
}

/** The same for what was put together from several. */
export function sourcesLine(paths: string[]): HTMLElement {
  return h("p", { class: "source" }, "From ", paths.map((path, at) => [at === 0 ? null : ", ", sourceLink(path)]));
}

export function sourceLink(path: string): HTMLElement {
  const show = (event: MouseEvent): void => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    showAnswer(path);
  };
  return h("a", { href: path, onclick: show }, h("code", {}, `GET ${path}`));
}

const MOST_SHOWN = 100_000;

function showAnswer(path: string): void {
  const text = answerOf(path) ?? "No answer of this call is kept.";
  const shown = text.length > MOST_SHOWN
      ? `${text.slice(0, MOST_SHOWN)}\n… ${text.length - MOST_SHOWN} characters more` : text;
  const command = `curl --cacert ca.crt -H "Authorization: Bearer $(cat access.token)" '${location.origin}${path}'`;
  const dialog = h("dialog", { class: "answer", "aria-labelledby": "answer-title" },
    h("h2", { id: "answer-title" }, `GET ${path}`),
    h("p", {}, "The same from a terminal:"), codeBlock(command),
    h("p", {}, "What the server answered:"),
    h("pre", { tabindex: 0, role: "group", "aria-label": "The answer" }, shown),
    h("form", { method: "dialog" }, h("button", { type: "submit" }, "Close")));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

export function codeBlock(text: string): HTMLElement {
  return scrolling("pre", "Command", { class: "command" }, h("code", {}, text));
}

export interface Table {
  caption: string;
  hideCaption?: boolean;
  columns: string[];
  /** The first cell of a row names it. */
  rows: Child[][];
  numeric?: boolean;
  style?: "bars" | "cards";
}

/** A table that scrolls inside of its own box; `cards` makes a card of each row where there is no room. */
export function table(of: Table): HTMLElement {
  // Cards are no table to a browser any more: their parts say what they are.
  const is = (role: string): Attributes => (of.style === "cards" ? { role } : {});
  return scrolling("div", of.caption, { class: "scroll" },
    h("table", { class: [of.style ?? "", of.numeric ? "numeric" : ""].join(" ").trim() || null, ...is("table") },
      h("caption", { class: of.hideCaption ? "unseen" : null }, of.caption),
      h("thead", is("rowgroup"), h("tr", is("row"),
          of.columns.map((name) => h("th", { scope: "col", ...is("columnheader") }, name)))),
      h("tbody", is("rowgroup"), of.rows.map((row) => h("tr", is("row"), row.map((cell, at) =>
        at === 0 ? h("th", { scope: "row", ...is("rowheader") }, cell)
          : h("td", { "data-label": of.columns[at] ?? "", ...is("cell") }, h("div", {}, cell))))))));
}

export interface Tile {
  name: string;
  value: Child;
  more?: Child;
}

/** Figures that one looks at first. */
export function tiles(list: Tile[]): HTMLElement {
  return h("dl", { class: "tiles" }, list.map((tile) => h("div", { class: "card tile" },
    h("dt", {}, tile.name), h("dd", { class: "value" }, tile.value), tile.more
        ? h("dd", { class: "more" }, tile.more) : null)));
}

export type Tone = "good" | "bad" | "warn" | "calm" | "busy";

export function badge(text: string, tone: Tone): HTMLElement {
  return h("span", { class: `badge ${tone}` }, text);
}

const TONES: Record<string, Tone> = {
  active: "busy", finished: "good", budget_exhausted: "warn", stopped: "calm", open: "busy", closing: "busy",
  charged: "busy", scheduled: "calm", published: "good", abandoned: "warn", revoked: "bad", expired: "calm",
  reserve: "calm", charge: "good", void: "warn", adjust: "busy", page: "bad", ticket: "warn", warning: "warn",
};

/** A word of the interface for how something stands. */
export function stateBadge(name: string): HTMLElement {
  return badge(words(name), TONES[name] ?? "calm");
}

export function section(id: string, title: string, ...children: Child[]): HTMLElement {
  return h("section", { "aria-labelledby": id, "data-key": id }, h("h2", { id }, title), children);
}

export function note(tone: Tone, ...children: Child[]): HTMLElement {
  return h("p", { class: `note ${tone}` }, children);
}

/** In place of what could not be had. */
export function trouble(error: unknown): HTMLElement {
  const detail = error instanceof Problem ? error.detail : `This page has a fault: ${String(error)}`;
  return h("p", { class: "note bad", role: "alert" }, detail);
}

/** In place of what the caller's role may not see: nothing was asked. */
export function withheld(what: string, roles: string): HTMLElement {
  return note("calm", `Your role may not read ${what}. Ask someone with role ${roles}.`);
}

/** In place of what this server has no call for. */
export function missing(call: string): HTMLElement {
  return note("calm", "This server has no ", h("code", {}, call), ": a later one answers it.");
}
