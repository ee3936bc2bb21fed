// The frame: who is signed in, which page stands, and when it asks again.
import { get, keepToken, onShutOut, Problem, token, whoami } from "./api";
import { type Child, h, patch } from "./dom";
import { relative } from "./format";
import { trouble } from "./parts";
import { devicesView } from "./pages/devices";
import { operationsView } from "./pages/operations";
import { recordsView } from "./pages/records";
import { taskView } from "./pages/task";
import { tasksView } from "./pages/tasks";
import { signInPage, useCertificate, usesCertificate } from "./sign_in";
import { themeButton } from "./theme";
import type { Version, Whoami } from "./types";
import type { Context, View } from "./view";

const PAGES: [string, string][] =
    [["tasks", "Tasks"], ["devices", "Devices"], ["records", "Ledger and audit"], ["operations", "Operations"]];
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;

const main = h("main", { id: "main", tabindex: -1 });
const navigation = h("nav", { "aria-label": "Pages" });
const identity = h("div", { class: "identity" });
const footer = h("footer", {});
const stale = h("p", { class: "note warn stale", role: "status", hidden: true });
const spoken = h("p", { class: "unseen", role: "status" });
let page = new AbortController();
let me: Whoami | null = null;

function frame(): void {
  const skip = (event: Event): void => {
    event.preventDefault();
    main.focus();
  };
  document.body.replaceChildren(
    h("a", { href: "#main", class: "skip", onclick: skip }, "Skip to the page"),
    h("header", {}, h("a", { href: "#/tasks", class: "brand" }, "Tacit"), navigation,
        h("div", { class: "tools" }, identity, themeButton())),
    stale, main, spoken, footer);
}

function showFrame(part: string): void {
  patch(navigation, h("nav", { "aria-label": "Pages", hidden: me === null }, h("ul", {}, PAGES.map(([name, title]) =>
    h("li", {}, h("a", { href: `#/${name}`, "aria-current": name === part ? "page" : null }, title))))));
  const out = h("button", { type: "button", class: "quiet", onclick: signOut }, "Sign out");
  patch(identity, h("div", { class: "identity" }, me && [
    h("span", {}, `${me.name}, ${me.role}`),
    h("span", { class: "more" }, `by ${me.proven_by}, ends ${relative(me.expires_at)}`), out]));
}

function signOut(): void {
  keepToken(null);
  useCertificate(false);
  me = null;
  void begin();
}

interface Place {
  title: string;
  children: Child[];
  moveFocus?: boolean;
  busy?: boolean;
}

/** Puts a page in place of the one before. */
function place({ title, children, moveFocus = false, busy = false }: Place): void {
  document.title = `${title} · Tacit`;
  patch(main, h("main", { id: "main", tabindex: -1, "aria-busy": busy ? "true" : null },
    h("h1", { tabindex: -1, id: "title" }, title), children));
  if (!moveFocus) return;
  scrollTo(0, 0);
  document.getElementById("title")?.focus();
}

function showSignIn(problem: Problem | null): void {
  page.abort();
  me = null;
  showFrame("");
  footer.replaceChildren();
  stale.hidden = true;
  main.replaceChildren();
  place({ title: "Sign in", children: signInPage({ problem, attempt: () => void begin(true) }) });
  document.getElementById("token")?.focus();
}

function viewOf(context: Context, parts: string[]): { part: string; view: View } | null {
  const [part = "tasks", name] = parts;
  if (name !== undefined && !NAME.test(name)) return null;
  if (part === "tasks") return { part, view: name ? taskView(context, name) : tasksView(context) };
  if (part === "devices" && !name) return { part, view: devicesView(context) };
  if (part === "records") return { part, view: recordsView(context, name ?? null) };
  if (part === "operations" && !name) return { part, view: operationsView(context) };
  return null;
}

async function open(moveFocus: boolean): Promise<void> {
  if (!me) return;
  page.abort();
  page = new AbortController();
  stale.hidden = true;
  const { signal } = page;
  const parts = location.hash.replace(/^#\/?/, "").split("/").filter((part) => part !== "");
  let view: View | null = null;
  const show = (): void => {
    if (view && !signal.aborted) place({ title: view.title, children: view.render() });
  };
  const found = viewOf({ me, signal, show, say: (text) => { spoken.textContent = text; } }, parts);
  showFrame(found?.part ?? "");
  if (!found) {
    place({ title: "No such page",
        children: [h("p", {}, "There is nothing here. ", h("a", { href: "#/tasks" }, "All tasks"))], moveFocus });
    return;
  }
  main.replaceChildren();
  place({ title: found.view.title, children: [h("p", { class: "loading" }, "Loading…")], moveFocus, busy: true });
  if (!(await load(found.view, signal))) return;
  view = found.view;
  show();
  if (found.view.every > 0) repeat(found.view, signal, show);
}

async function load(view: View, signal: AbortSignal): Promise<boolean> {
  try {
    await view.load();
    return !signal.aborted;
  } catch (error) {
    if (!signal.aborted) place({ title: view.title, children: [trouble(error)] });
    if (!(error instanceof Problem) && !signal.aborted) console.error(error);
    return false;
  }
}

// What stands stays, and it is said that it is old.
function tellStale(error: unknown): void {
  if (!(error instanceof Problem)) throw error;
  stale.hidden = false;
  stale.textContent = `Not up to date: ${error.detail}.`;
}

// One look after the other, and none while nobody looks.
function repeat(view: View, signal: AbortSignal, show: () => void): void {
  setTimeout(async () => {
    if (signal.aborted) return;
    if (document.visibilityState === "visible") {
      try {
        await view.load();
        stale.hidden = true;
        show();
      } catch (error) {
        if (!signal.aborted) tellStale(error);
      }
    }
    if (!signal.aborted) repeat(view, signal, show);
  }, view.every);
}

/** Finds out who is here. Without anything to show nobody is asked. */
async function begin(tried = false): Promise<void> {
  if (token() === null && !usesCertificate()) {
    showSignIn(null);
    return;
  }
  const found = await whoami<Whoami>();
  if (found instanceof Problem) {
    if (found.status === 401 || found.status === 403) {
      keepToken(null);
      useCertificate(false);
    }
    showSignIn(found);
    return;
  }
  me = found;
  const version = await get<Version>("/api/v1/version");
  footer.replaceChildren(h("p", {},
      `tacitd ${version.version} of ${version.trust_domain}. `,
      "Everything here comes from this server’s own interface, which ",
    h("code", {}, "/api/v1/openapi.json"), " describes."));
  await open(tried);
}

onShutOut((problem) => {
  keepToken(null);
  useCertificate(false);
  showSignIn(problem);
});
addEventListener("hashchange", () => void open(true));
frame();
void begin();
