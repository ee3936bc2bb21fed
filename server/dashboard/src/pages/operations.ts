// What an operator looks at first: what is wrong or soon will be, and how the server does.
import { get, knows, measured } from "../api";
import { bars } from "../chart";
import { type Child, h } from "../dom";
import { bytes, count, plural, relative, span } from "../format";
import { missing, note, section, sourceLine, sourcesLine, stateBadge, table, tiles, withheld } from "../parts";
import type { AccessToken, Alert, Metric, MetricSeries, Page, Version } from "../types";
import { type Context, may, POLL, type View } from "../view";

const ALERTS = "/api/v1/alerts";
const METRICS = "/api/v1/metrics";
const TOKENS = "/api/v1/access/tokens";
const WHOAMI = "/api/v1/whoami";
const ROLES = "operator, auditor or admin";
const SOON = 7 * 86400 * 1000;
const LISTED_OPERATIONS = 6;

interface Ending {
  what: string;
  at: string;
  todo: string;
}

function quantile(sorted: number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}

/** The bound of a histogram's bucket within which `share` of it lies; nothing where it has no bound. */
function within(series: MetricSeries, share: number): number | null {
  const wanted = (series.count ?? 0) * share;
  return series.buckets?.find((bucket) => bucket.count >= wanted)?.up_to ?? null;
}

/** The metrics by their names. */
class Metrics {
  private readonly byName = new Map<string, MetricSeries[]>();

  constructor(metrics: Metric[]) {
    for (const metric of metrics) this.byName.set(metric.name, metric.series);
  }

  of(name: string): MetricSeries[] {
    return this.byName.get(name) ?? [];
  }

  /** The sum over all series that have these labels; nothing where there is none. */
  sum(name: string, labels: { [name: string]: string } = {}): number | null {
    const found = this.of(name).filter((series) =>
      Object.entries(labels).every(([label, value]) => series.labels[label] === value));
    return found.length === 0 ? null : found.reduce((total, series) => total + (series.value ?? 0), 0);
  }
}

function timing(name: string, series: MetricSeries): Child[] {
  const number = series.count ?? 0;
  const most = within(series, 0.95);
  return [h("code", {}, name), count(number), number === 0 ? "–" : span((series.sum ?? 0) / number),
          number === 0 ? "–" : most === null ? "no bound" : `≤ ${span(most)}`];
}

class OperationsPage implements View {
  readonly title = "Operations";
  readonly every = POLL;
  private known = { alerts: true, metrics: true };
  private alerts: Alert[] = [];
  private metrics = new Metrics([]);
  private endings: Ending[] = [];
  private version!: Version;

  constructor(private readonly context: Context) {}

  private get mayLook(): boolean {
    return may(this.context.me, "read_operations");
  }

  async load(): Promise<void> {
    const { signal } = this.context;
    this.version = await get<Version>("/api/v1/version", signal);
    this.known = { alerts: await knows(ALERTS), metrics: await knows(METRICS) };
    if (this.mayLook && this.known.alerts) this.alerts = (await get<Page<Alert>>(ALERTS, signal)).items;
    if (this.mayLook && this.known.metrics) this.metrics =
        new Metrics((await get<Page<Metric>>(METRICS, signal)).items);
    await this.lookForEnds();
  }

  // What people sign in with. The server warns of none of it: it is theirs.
  private async lookForEnds(): Promise<void> {
    const { me, signal } = this.context;
    this.endings = [{ what: "What you signed in with", at: me.expires_at, todo: "Ask for another in time." }];
    if (may(me, "manage_access")) {
      for (const token of (await get<Page<AccessToken>>(TOKENS, signal)).items) {
        if (token.state !== "active" || token.id === me.token) continue;
        this.endings.push({ what: `The access token ${token.id} of ${token.name}`, at: token.expires_at,
                            todo: `tacit access token create --name ${token.name} --role ${token.role}` });
      }
    }
    this.endings = this.endings.filter((each) => Date.parse(each.at) - Date.now() < SOON);
  }

  render(): Child[] {
    return [
      this.summary(),
      section("alerts", "Alerts", this.gate("alerts", ALERTS) ?? this.alertPart()),
      section("credentials", "Credentials that end within a week", this.endingPart()),
      section("server", "Store and memory", this.gate("metrics", METRICS) ?? this.serverPart()),
      section("answers", "Answers to this page", this.answerPart()),
    ];
  }

  /** What stands in place of what cannot be had; nothing where it can. */
  private gate(what: "alerts" | "metrics", call: string): Child {
    if (!this.known[what]) return missing(`GET ${call}`);
    return this.mayLook ? null : withheld(what, ROLES);
  }

  private summary(): HTMLElement {
    const { metrics } = this;
    const number = (value: number | null): string => (value === null ? "–" : count(value));
    const failed = metrics.sum("tacit_store_operations_total", { result: "error" });
    return tiles([
      { name: "Server", value: `tacitd ${this.version.version}`, more: this.version.trust_domain },
      { name: "Alerts", value: this.known.alerts && this.mayLook ? count(this.alerts.length)
          : "–", more: "that somebody should look at" },
      { name: "Store operations that failed", value: number(failed), more: "since the server started" },
      { name: "Defects that were caught", value: number(metrics.sum("tacit_exceptions_total")),
          more: "since the server started" },
      { name: "Refused on this listener", value: number(metrics.sum("tacit_access_refused_total")),
          more: "requests, for any reason" },
    ]);
  }

  private alertPart(): Child {
    if (this.alerts.length === 0) return [note("good", "Nothing to look at."), sourceLine({ path: ALERTS })];
    const rows = this.alerts.map((alert): Child[] => [
      stateBadge(alert.severity), alert.name,
      alert.task === null ? "–" : h("a", { href: `#/tasks/${alert.task}` }, alert.task), alert.summary, alert.next]);
    return h("div", { class: "card" }, table({
      caption: "Alerts", hideCaption: true, style: "cards", rows,
      columns: ["Severity", "Alert", "Task", "What", "What to do"],
    }), sourceLine({ path: ALERTS }));
  }

  private endingPart(): Child {
    const sources = may(this.context.me, "manage_access") ? [WHOAMI, TOKENS] : [WHOAMI];
    if (this.endings.length === 0) return [note("good", "None that you may see."), sourcesLine(sources)];
    const rows = this.endings.map((each): Child[] => [each.what, relative(each.at), each.todo]);
    return h("div", { class: "card" }, table({
      caption: "Credentials that end soon", hideCaption: true, style: "cards", rows,
      columns: ["What", "Ends", "What to do"],
    }), sourcesLine(sources));
  }

  private serverPart(): HTMLElement {
    return h("div", { class: "charts" }, this.memoryBars(), this.latencyTable());
  }

  private memoryBars(): HTMLElement {
    const names: [string, string, 1 | 2 | 3][] = [
      ["Ceiling", "tacit_memory_ceiling_bytes", 3], ["Worst case of the limits", "tacit_memory_worst_case_bytes", 1],
      ["Resident now", "process_resident_memory_bytes", 2], ["Limit of uploads", "tacit_upload_memory_limit_bytes", 1],
      ["Uploads now", "tacit_upload_memory_bytes", 2]];
    const list = names.flatMap(([name, metric, colour]) => {
      const value = this.metrics.sum(metric);
      return value === null ? [] : [{ name, value, colour }];
    });
    const ceiling = this.metrics.sum("tacit_memory_ceiling_bytes");
    const resident = this.metrics.sum("process_resident_memory_bytes");
    return bars({
      id: "memory", title: "Memory against its ceiling", names: "Memory", values: "Size", format: bytes, bars: list,
      source: { path: METRICS },
      reading: ceiling && resident !== null ? `${Math.round((resident / ceiling) * 100)} % of the ceiling is in use.`
        : "The ceiling is not told.",
    });
  }

  // What took most of the store's time first: that is what one waits for.
  private latencyTable(): HTMLElement {
    const all = this.metrics.of("tacit_store_operation_duration_seconds").filter((series) => (series.count ?? 0) > 0)
      .sort((a, b) => (b.sum ?? 0) - (a.sum ?? 0)).map((series) => timing(series.labels["operation"] ?? "", series));
    const ledger = this.metrics.of("tacit_ledger_commit_duration_seconds").map((series) =>
      timing("ledger entry, durable", series));
    const columns = ["Operation", "Done", "Mean", "95 % of them"];
    return h("figure", { class: "card chart", id: "latency", "data-key": "latency" },
      h("h3", {}, "Store latency"),
      h("p", { class: "reading" }, `Of ${plural(all.length, "kind")} of operations those that took most of the time.`),
      table({ caption: "Store latency", hideCaption: true, style: "cards", columns,
              rows: [...ledger, ...all.slice(0, LISTED_OPERATIONS)] }),
      all.length > LISTED_OPERATIONS && h("details", { class: "figures" }, h("summary", {}, "The other operations"),
        table({ caption: "The other operations", hideCaption: true, style: "cards", columns,
                rows: all.slice(LISTED_OPERATIONS) })),
      sourceLine({ path: METRICS }, "figcaption"));
  }

  private answerPart(): Child {
    const rows = measured().map(({ call, milliseconds }): Child[] => {
      const sorted = [...milliseconds].sort((a, b) => a - b);
      return [h("code", {}, call), count(sorted.length), span(quantile(sorted, 0.5) / 1000),
              span(quantile(sorted, 0.95) / 1000)];
    });
    return h("div", { class: "card" },
      h("p", {}, "From asking to the head of the answer, as this browser saw it: network, server and store together."),
      table({ caption: "Time of answers by call", hideCaption: true, style: "cards", rows,
              columns: ["Call", "Asked", "Median", "95th percentile"] }));
  }
}

export function operationsView(context: Context): View {
  return new OperationsPage(context);
}
