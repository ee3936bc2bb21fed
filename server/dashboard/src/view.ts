// What a page is to the frame around it.
import type { Child } from "./dom";
import type { Whoami } from "./types";

export interface Context {
  me: Whoami;
  /** Ends with the page. */
  signal: AbortSignal;
  /** Draws the page again, from what it knows. */
  show: () => void;
  /** Tells people who do not see the page what has changed on it. */
  say: (text: string) => void;
}

export interface View {
  title: string;
  /** Asks for what the page shows: at first, and every so many milliseconds; 0: not again. */
  load: () => Promise<void>;
  every: number;
  /** What stands on the page, under its heading. */
  render: () => Child[];
}

/** Whether the caller may do this to a task, or, without one, to the server as a whole. */
export function may(me: Whoami, action: string, task?: string): boolean {
  if (!me.actions.includes(action)) return false;
  return me.tasks === null || (task !== undefined && me.tasks.includes(task));
}

export const POLL = 5000;
