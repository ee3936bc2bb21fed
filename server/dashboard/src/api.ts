// Asks the server's REST interface, and remembers what it answered.

/** An answer that is no success: RFC 9457. */
export class Problem extends Error {
  constructor(readonly status: number, readonly detail: string) {
    super(detail);
  }
}

export interface Latency {
  call: string;
  milliseconds: number[];
}

// The token is in the session storage of its tab: it outlives a reload, ends with the tab, is seen by no other tab, and
// is never sent by the browser by itself, as a cookie is. Memory alone would ask for it again at each reload.
const TOKEN = "tacit.token";
const KEPT_ANSWERS = 200;
const KEPT_LATENCIES = 200;

interface Kept {
  tag: string;
  text: string;
  body: unknown;
}

const kept = new Map<string, Kept>();
const latencies = new Map<string, number[]>();
let whenShutOut: (problem: Problem) => void = () => undefined;

export function token(): string | null {
  return sessionStorage.getItem(TOKEN);
}

export function keepToken(text: string | null): void {
  if (text === null) sessionStorage.removeItem(TOKEN);
  else sessionStorage.setItem(TOKEN, text);
  kept.clear();
}

/** What to do when the server does not know the caller any more. */
export function onShutOut(what: (problem: Problem) => void): void {
  whenShutOut = what;
}

function headers(more: Record<string, string> = {}): Record<string, string> {
  const secret = token();
  return secret === null ? more : { Authorization: `Bearer ${secret}`, ...more };
}

async function problemOf(response: Response): Promise<Problem> {
  const body = await response.json().catch(() => ({}));
  const detail = typeof body.detail === "string" ? body.detail : `the server answered ${response.status}`;
  return new Problem(response.status, detail);
}

async function ask(path: string, options: RequestInit): Promise<Response> {
  const began = performance.now();
  const response = await fetch(path, { cache: "no-store", ...options }).catch((error: unknown) => {
    if (options.signal?.aborted) throw error;
    throw new Problem(0, "the server cannot be reached");
  });
  note(path, performance.now() - began);
  if (response.ok || response.status === 304) return response;
  const problem = await problemOf(response);
  if (response.status === 401) whenShutOut(problem);
  throw problem;
}

function note(path: string, milliseconds: number): void {
  const call = nameOfCall(path);
  const list = latencies.get(call) ?? [];
  list.push(milliseconds);
  if (list.length > KEPT_LATENCIES) list.shift();
  latencies.set(call, list);
}

/** The path as the interface's document has it: "/api/v1/tasks/{task}/rounds". */
export function nameOfCall(path: string): string {
  const parts = (path.split("?")[0] ?? "").split("/");
  if (parts[3] === "tasks" && parts[4]) parts[4] = "{task}";
  if (parts[3] === "devices" && parts[4]) parts[4] = "{device}";
  if (parts[5] === "models" && parts[6]) parts[6] = "{version}";
  return parts.join("/");
}

/** How long the calls of this page took, from asking to the head of the answer. */
export function measured(): Latency[] {
  return [...latencies].map(([call, milliseconds]) => ({ call, milliseconds })).sort((a, b) =>
      (a.call < b.call ? -1 : 1));
}

/** What the server answered last at this path, as it came. */
export function answerOf(path: string): string | undefined {
  return kept.get(path)?.text;
}

/** GET. What has not changed since the last time is not sent again. Throws a Problem. */
export async function get<Body>(path: string, signal?: AbortSignal): Promise<Body> {
  const before = kept.get(path);
  const response = await ask(path, {
    headers: headers(before ? { "If-None-Match": before.tag } : {}),
    ...(signal ? { signal } : {}),
  });
  if (response.status === 304 && before) return before.body as Body;
  const text = await response.text();
  const body = JSON.parse(text) as Body;
  kept.delete(path);
  kept.set(path, { tag: response.headers.get("ETag") ?? "", text, body });
  const [oldest] = kept.keys();
  if (kept.size > KEPT_ANSWERS && oldest !== undefined) kept.delete(oldest);
  return body;
}

/** GET of bytes; nothing is kept. */
export async function getBytes(path: string, signal: AbortSignal): Promise<ArrayBuffer> {
  return (await ask(path, { headers: headers(), signal })).arrayBuffer();
}

interface Paged<Item> {
  items: Item[];
  next_cursor: string | null;
}

/** The pages of a list, each as it comes; `path` has no query. */
export async function* pages<Body extends Paged<unknown>>(path: string, signal: AbortSignal): AsyncGenerator<Body> {
  for (let after: string | null = "0"; after !== null; ) {
    const body: Body = JSON.parse(
      await (await ask(`${path}?after=${after}&limit=1000`, { headers: headers(), signal })).text(),
    );
    yield body;
    after = body.next_cursor;
  }
}

/** The calls that this server knows: a later dashboard on an older server shows what is missing, and asks for none. */
export async function knows(call: string): Promise<boolean> {
  const document = await get<{ paths: Record<string, unknown> }>("/api/v1/openapi.json");
  return call in document.paths;
}

/** Whether the server knows who asks. Throws any Problem but 401. */
export async function whoami<Body>(): Promise<Body | Problem> {
  const before = whenShutOut;
  whenShutOut = () => undefined;
  try {
    return await get<Body>("/api/v1/whoami");
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  } finally {
    whenShutOut = before;
  }
}

/** One server-sent event of the block of lines in front of an empty one. Source: WHATWG HTML, section 9.2.6. */
function eventOf(block: string): { name: string; id: string; data: string } {
  const event = { name: "message", id: "", data: "" };
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    const value = line.slice(at + 1).replace(/^ /, "");
    if (line.startsWith("event:")) event.name = value;
    if (line.startsWith("id:")) event.id = value;
    if (line.startsWith("data:")) event.data += value;
  }
  return event;
}

const pause = (milliseconds: number, signal: AbortSignal): Promise<void> =>
  new Promise((done) => {
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      done();
    });
  });

export interface Watching {
  path: string;
  /** The last event that is known already. */
  after: number;
  signal: AbortSignal;
  told: (name: string, data: unknown) => void;
  /** Whether the stream is there. */
  connected: (is: boolean) => void;
}

/** Follows a stream of events until the signal, and connects again when it ends. EventSource could send no token. */
export async function watch(watching: Watching): Promise<void> {
  const { path, signal, told, connected } = watching;
  let last = String(watching.after);
  for (let wait = 1000; !signal.aborted; wait = Math.min(wait * 2, 30000)) {
    try {
      const response = await ask(path, { headers: headers({ "Last-Event-ID": last }), signal });
      connected(true);
      wait = 1000;
      await read(response, (event) => {
        if (event.id) last = event.id;
        if (event.data) told(event.name, JSON.parse(event.data));
      });
    } catch (error) {
      if (signal.aborted || (error instanceof Problem && error.status >= 400 && error.status < 500)) return;
    }
    connected(false);
    await pause(wait, signal);
  }
}

async function read(response: Response,
    told: (event: { name: string; id: string; data: string }) => void): Promise<void> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; reader; ) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) told(eventOf(block));
  }
}
