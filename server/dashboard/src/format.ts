// Numbers and times as people read them. Everything is UTC: two people who look at one page see one time.
import { h } from "./dom";

const whole = new Intl.NumberFormat("en-GB");
const short = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 3 });

export function count(value: number): string {
  return whole.format(value);
}

/** Three digits that mean something. */
export function figure(value: number): string {
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) return value.toExponential(2);
  return short.format(value);
}

export function percent(share: number): string {
  return `${short.format(share * 100)} %`;
}

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    ++at;
  }
  return `${short.format(value)} ${units[at]}`;
}

const SPANS: [number, string][] = [[86400, "d"], [3600, "h"], [60, "min"]];

/** A length of time. */
export function span(seconds: number): string {
  if (seconds !== 0 && seconds < 1e-3) return `${figure(seconds * 1e6)} µs`;
  if (seconds < 1) return `${figure(seconds * 1000)} ms`;
  for (const [size, unit] of SPANS)
    if (seconds >= 2 * size || seconds === size) return `${short.format(seconds / size)} ${unit}`;
  return `${short.format(seconds)} s`;
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** "2026-11-29 01:20:05", of a time in UTC. */
export function clock(at: string | number): string {
  return new Date(at).toISOString().slice(0, 19).replace("T", " ");
}

export function time(at: string | number): HTMLElement {
  return h("time", { datetime: new Date(at).toISOString() }, `${clock(at)} UTC`);
}

/** "in 3 d" or "5 min ago". */
export function relative(at: string | number, now = Date.now()): string {
  const seconds = (new Date(at).getTime() - now) / 1000;
  return seconds >= 0 ? `in ${span(seconds)}` : `${span(-seconds)} ago`;
}

/** As a person says a name of the interface: "budget_exhausted" is "budget exhausted". */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}
