// One task: how it learns, what it has spent and may spend, who took part, and how long it took. It follows the task's
// events, so that a round is seen when it ends.
import { get, knows, pages, Problem, watch } from "../api";
import { bars, chart, type Point } from "../chart";
import { type Child, h } from "../dom";
import { count, figure, percent, plural, relative, span, time } from "../format";
import { codeBlock, missing, note, section, type Source, sourceLine, stateBadge, table, tiles, type Tile,
    withheld } from "../parts";
import { modelPath, StepLengths } from "../step_length";
import type { CentralPrivacy, Forecast, Ledger, LedgerEntry, OtherPrivacy, Page, Policy, Privacy, Round,
    Task } from "../types";
import { type Context, may, type View } from "../view";

const SHOWN_ROUNDS = 1000;
const LISTED_ROUNDS = 12;

function isCentral(privacy: Privacy): privacy is CentralPrivacy {
  return privacy.mechanism !== "none";
}

/** Units: seconds. */
function lasted(round: Round): number {
  return (Date.parse(round.ended_at ?? round.opened_at) - Date.parse(round.opened_at)) / 1000;
}

class TaskPage implements View {
  readonly title: string;
  readonly every = 0;
  private task!: Task;
  private privacy!: Privacy;
  private readonly rounds = new Map<number, Round>();
  private roundsPath = "";
  private forecast: Forecast | null = null;
  private forecasts = true;
  private policy: Policy | null = null;
  private readonly clips = new Map<number, number>();
  private steps: StepLengths | null = null;
  private live = false;
  private busy: Promise<void> = Promise.resolve();

  constructor(private readonly context: Context, private readonly name: string) {
    this.title = `Task ${name}`;
  }

  private get path(): string {
    return `/api/v1/tasks/${this.name}`;
  }

  async load(): Promise<void> {
    const { signal, me } = this.context;
    this.task = await get<Task>(this.path, signal);
    this.privacy = await get<Privacy>(`${this.path}/privacy`, signal);
    const last = Math.max(this.task.current_round?.round ?? 0, this.task.latest_version);
    this.roundsPath = `${this.path}/rounds?after=${Math.max(0, last - SHOWN_ROUNDS)}&limit=${SHOWN_ROUNDS}`;
    for (const round of (await get<Page<Round>>(this.roundsPath, signal)).items) this.rounds.set(round.round, round);
    if (may(me, "read_models", this.name)) this.steps = new StepLengths(this.name, this.task.parameters, signal);
    this.follow();
    this.deepen();
  }

  private follow(): void {
    const ended = [...this.rounds.values()].filter((round) => round.ended_at !== null).map((round) => round.round);
    void watch({
      path: `${this.path}/events`, after: Math.max(0, ...ended), signal: this.context.signal,
      told: (name, data) => this.hear(name, data),
      connected: (is) => {
        this.live = is;
        this.context.show();
      },
    });
  }

  private hear(name: string, data: unknown): void {
    if (name === "task") this.task = data as Task;
    if (name === "privacy") this.privacy = data as Privacy;
    if (name === "round") {
      const round = data as Round;
      this.rounds.set(round.round, round);
      this.context.say(`Round ${round.round} ${round.phase}`);
      this.deepen();
    }
    this.context.show();
  }

  // What takes further calls, one after the other, once the page stands.
  private deepen(): void {
    this.busy = this.busy.then(() => this.readForecast()).then(() => this.readClips()).then(() =>
        this.readSteps()).catch((error: unknown) => {
      if (!(error instanceof Problem) && !this.context.signal.aborted) throw error;
    });
  }

  private async readForecast(): Promise<void> {
    if (!isCentral(this.privacy)) return;
    this.forecasts = await knows("/api/v1/tasks/{task}/privacy/forecast");
    if (this.forecasts && this.task.state === "active")
      this.forecast = await get<Forecast>(this.forecastPath, this.context.signal);
    this.context.show();
  }

  private async readClips(): Promise<void> {
    if (!isCentral(this.privacy) || this.privacy.clip_quantile === null ||
        !may(this.context.me, "read_ledger", this.name)) return;
    for await (const page of pages<Ledger>(`${this.path}/ledger`, this.context.signal)) {
      this.policy = page.policy;
      page.items.filter((entry: LedgerEntry) => entry.kind === "charge").forEach((entry) =>
          this.clips.set(entry.round, entry.clip_norm));
    }
    this.context.show();
  }

  private async readSteps(): Promise<void> {
    if (!this.steps?.possible) return;
    const versions = [0, ...this.ended().flatMap((round) => round.model_version ?? [])];
    await this.steps.reach(versions, () => this.context.show());
  }

  private ended(): Round[] {
    return [...this.rounds.values()].filter((round) => round.ended_at !== null).sort((a, b) => a.round - b.round);
  }

  private get forecastPath(): string {
    return `${this.path}/privacy/forecast`;
  }

  private get roundsSource(): Source {
    return { path: this.roundsPath, more: "and the task's events" };
  }

  // ---- What stands on the page ----

  render(): Child[] {
    return [
      this.status(),
      tiles(this.tiles()),
      section("learning", "Learning", h("div", { class: "charts" }, this.stepChart(), this.durationChart())),
      section("privacy", "Privacy", h("div", { class: "charts" }, this.privacyCharts()), this.promise()),
      section("taking-part", "Taking part", h("div", { class: "charts" }, this.funnel(), this.countedChart())),
      section("rounds", "Last rounds", this.roundTable()),
      section("elsewhere", "From a terminal", codeBlock(
        ["task watch", "privacy show", "model get -o model.safetensors"]
          .map((each) => `tacit ${each} ${this.name}`).join("\n"))),
    ];
  }

  private status(): HTMLElement {
    const round = this.task.current_round;
    const words = round ? `Round ${round.round} is ${round.phase}${round.waiting_for ? `: ${round.waiting_for}` : ""}`
        : this.task.state_reason || "No round is under way";
    const deadline = round?.deadline ? ` It ends ${relative(round.deadline)} at the latest.` : "";
    return h("p", { class: "status" }, stateBadge(this.task.state), " ", `${words.replace(/\.?$/, ".")}${deadline} `,
      h("span", { class: "live" }, this.live ? "Live" : "Not live: connecting"));
  }

  private tiles(): Tile[] {
    const task = this.task;
    const list: Tile[] = [
      { name: "Rounds published", value: `${count(task.rounds_published)} of ${count(task.rounds_total)}` },
      ...this.privacyTiles(),
      { name: "Model", value: `version ${count(task.latest_version)}`,
          more: `${task.model}, ${plural(task.parameters, "parameter")}` },
    ];
    return list;
  }

  private privacyTiles(): Tile[] {
    if (!isCentral(this.privacy)) return [{ name: "Privacy", value: "not promised", more: this.privacy.statement }];
    const { epsilon_spent, epsilon_budget, epsilon_reserved, delta, rounds_left } = this.privacy;
    return [
      { name: "Epsilon spent", value: `${figure(epsilon_spent)} of ${figure(epsilon_budget)}`,
        more: `at delta ${figure(delta)}; ${figure(epsilon_reserved)} of it held by rounds under way or given up` },
      { name: "Rounds left in the budget", value: rounds_left === null ? "no limit" : count(rounds_left),
        more: `noise ${figure(this.privacy.noise_multiplier)} × clip norm` },
    ];
  }

  private stepChart(): HTMLElement {
    const versions = this.steps ? [...this.steps.lengths] : [];
    const points = versions.map(([x, y]): Point => ({ x, y })).sort((a, b) => a.x - b.x);
    const task = this.task;
    const noise = (task.noise_multiplier ?? 0) * task.clip_norm * Math.sqrt(task.parameters) / task.cohort_size *
      (task.mechanism === "laplace" ? Math.SQRT2 : 1);
    const figureOf = chart({
      id: "step", title: "Length of the model's step", across: "round", up: "L2 distance to the version before",
      source: { path: modelPath(this.name, "{version}"), more: "for each version" },
      reading: noise > 0
        ? `The noise in one average is about ${figure(noise)} long, before the optimizer takes its step.`
        : "No noise is added: each step is what the devices' average moved.",
      series: [{ name: "step", kind: "line", colour: 1, points }],
    });
    figureOf.insertBefore(h("p", { class: "aside" }, "The server has no data, so no loss or accuracy either: ",
      h("code", {}, "tacit-agent evaluate"), " measures a published model where data are."), figureOf.lastChild);
    if (!this.steps) figureOf.append(withheld("models", "scientist, operator or admin"));
    else if (!this.steps.possible) figureOf.append(note("calm",
        "The model is too large for a page to compare its versions."));
    return figureOf;
  }

  private durationChart(): HTMLElement {
    const points = (phase: string): Point[] =>
      this.ended().filter((round) => round.phase === phase).map((round) => ({ x: round.round, y: lasted(round) }));
    const all = [...points("published"), ...points("abandoned")].map((point) => point.y).sort((a, b) => a - b);
    const median = all[Math.floor(all.length / 2)];
    const given = points("abandoned");
    return chart({
      id: "duration", title: "Duration of rounds", across: "round", up: "from opening to end", format: span,
      source: this.roundsSource,
      reading: median === undefined ? "No round has ended." : `Half of the rounds took ${span(median)} or less.`,
      series: [{ name: "published", kind: "columns", colour: 1, points: points("published") },
               ...(given.length ? [{ name: "abandoned", kind: "columns" as const, colour: 3 as const,
                   points: given }] : [])],
    });
  }

  private privacyCharts(): Child[] {
    if (!isCentral(this.privacy)) return [];
    return [this.epsilonChart(this.privacy), this.clippedChart(this.privacy)];
  }

  private epsilonChart(privacy: CentralPrivacy): HTMLElement {
    const points = this.ended().flatMap((round): Point[] =>
      round.epsilon_after === null ? [] : [{ x: round.round, y: round.epsilon_after }]);
    const current = this.task.current_round;
    if (current && current.phase !== "scheduled") points.push({ x: current.round, y: privacy.epsilon_spent });
    const last = points[points.length - 1]?.x ?? 0;
    // As far as it goes within the budget: no round is opened beyond.
    const ahead = (this.forecast?.items ?? []).flatMap((each): Point[] =>
      each.epsilon === null || each.epsilon > privacy.epsilon_budget ? []
          : [{ x: last + each.rounds, y: each.epsilon }]);
    const left = privacy.rounds_left === null ? "the budget sets no limit to its rounds"
      : `${plural(privacy.rounds_left, "round")} more fit into it`;
    const found = chart({
      id: "epsilon", title: "Epsilon against its budget", across: "round",
      up: `epsilon at delta ${figure(privacy.delta)}`,
      source: { path: this.forecasts ? this.forecastPath : `${this.path}/privacy`, more: "and its rounds" },
      reading: `${figure(privacy.epsilon_spent)} of ${figure(privacy.epsilon_budget)} is spent or reserved; ${left}.`,
      limits: [{ name: `budget ${figure(privacy.epsilon_budget)}`, at: privacy.epsilon_budget, strict: true }],
      series: [{ name: "charged", kind: "steps", colour: 2, points },
               ...(ahead.length > 1 && this.task.state === "active"
                 ? [{ name: "forecast", kind: "line" as const, colour: 2 as const, dashed: true, points: ahead }]
                     : [])],
    });
    if (!this.forecasts) found.insertBefore(missing(`GET ${this.path}/privacy/forecast`), found.lastChild);
    return found;
  }

  // The share of clipped updates is a release of its own, and only there where the task pays for it: the clip norm then
  // follows it, and it can be read off from how the norm moved. Source: Andrew, Thakkar, McMahan, Ramaswamy 2021.
  private clippedChart(privacy: CentralPrivacy): HTMLElement {
    const tracking = this.policy?.clip_tracking;
    const norms = [...this.clips].sort((a, b) => a[0] - b[0]);
    const points = !tracking ? [] : norms.map(([round, norm], at): Point => {
      const next = norms[at + 1]?.[1] ?? this.task.clip_norm;
      const within = tracking.quantile - Math.log(next / norm) / tracking.learning_rate;
      return { x: round, y: Math.min(1, Math.max(0, 1 - within)) };
    });
    const charged = privacy.clip_quantile !== null;
    const found = chart({
      id: "clipped", title: "Share of updates that were clipped", across: "round", up: "noised share",
      format: percent, top: 1,
      source: { path: `${this.path}/ledger?after=0&limit=1000`, more: "from how the clip norm moved" },
      reading: charged
        ? `A part of what each round is charged; the clip norm, now ${figure(privacy.clip_norm)}, follows it.`
        : "Not charged by this task, and so not released: clip_quantile in a task file does both.",
      limits: charged ? [{ name: "aim", at: 1 - (privacy.clip_quantile ?? 0), strict: false }] : [],
      series: [{ name: "clipped", kind: "line", colour: 4, points }],
    });
    if (charged && !may(this.context.me, "read_ledger", this.name)) found.append(withheld("ledgers",
        "scientist, operator, auditor or admin"));
    return found;
  }

  private promise(): HTMLElement {
    const privacy = this.privacy;
    const facts: [string, string][] = isCentral(privacy) ? [
      ["Protects", privacy.unit], ["Neighbours", privacy.neighbouring], ["Sampling", privacy.sampling],
      ["Accountant", privacy.accountant],
      ["Rounds a device may take part in", count(privacy.max_participations)], ["Noise", privacy.utility.meaning],
      ...(privacy.filter ? [["Filter", privacy.filter.statement] as [string, string]] : []),
    ] : this.localFacts(privacy);
    const open = isCentral(privacy) ? privacy.not_covered : privacy.local?.not_covered ?? [];
    return h("div", { class: "card promise" },
      h("h3", {}, "What the figures say"),
      h("dl", { class: "facts" }, facts.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text)))),
      open.length > 0 && [h("h3", {}, "What they say nothing about"),
          h("ul", {}, open.map((text) => h("li", {}, text)))],
      sourceLine({ path: `${this.path}/privacy` }));
  }

  private localFacts(privacy: OtherPrivacy): [string, string][] {
    const local = privacy.local;
    if (!local) return [["Mechanism", privacy.statement]];
    return [["Protects", local.unit], ["Neighbours", local.neighbouring],
            ["Epsilon of one update", `${figure(local.epsilon_of_one_update)} at delta ${figure(local.delta)}`],
            ["Epsilon of as many as the busiest device was counted in", figure(local.epsilon_counted)],
            ["Epsilon at most", `${figure(local.epsilon_at_max_releases)}, of ${plural(local.max_releases, "update")}`],
            ["Accountant", local.accountant]];
  }

  // Of the round that is under way, or of the last one that was.
  private funnel(): HTMLElement {
    const task = this.task;
    const current = task.current_round?.phase === "scheduled" ? null : task.current_round;
    const which = current ?? this.ended().at(-1);
    const leased = current?.leased ?? null;
    const counted = which?.counted ?? null;
    const list = [{ name: "Wanted", value: task.cohort_size },
                  ...(leased !== null ? [{ name: "At work", value: leased }] : []),
                  ...(counted !== null ? [{ name: "Counted", value: counted, colour: 2 as const }] : []),
                  { name: "Needed at least", value: task.cohort_min, colour: 3 as const }];
    const reading = !which ? "No round has been opened yet."
      : counted === null ? "A secret coin draws who takes part: nothing shows how many came."
        : `${count(counted)} of ${plural(task.cohort_size, "device")} counted; ${count(task.cohort_min)} are needed.`;
    return bars({
      id: "funnel", title: which ? `Participation in round ${which.round}` : "Participation",
      names: "Devices", values: "Number", source: { path: this.path, more: "and its rounds" }, bars: list, reading,
    });
  }

  private countedChart(): HTMLElement {
    const points = this.ended().flatMap((round): Point[] => round.counted === null ? []
        : [{ x: round.round, y: round.counted }]);
    const task = this.task;
    return chart({
      id: "counted", title: "Devices counted in each round", across: "round", up: "devices", format: count, whole: true,
      source: this.roundsSource,
      reading: `A round aims at ${plural(task.cohort_size, "device")}; below ${count(task.cohort_min)} it is given up.`,
      limits: [{ name: `aim ${count(task.cohort_size)}`, at: task.cohort_size, strict: false }],
      series: [{ name: "counted", kind: "columns", colour: 1, points }],
    });
  }

  private roundTable(): HTMLElement {
    const rows = this.ended().reverse().slice(0, LISTED_ROUNDS).map((round): Child[] => [
      String(round.round),
      [stateBadge(round.phase), round.reason ? ` ${round.reason}` : null],
      round.counted === null ? "–" : count(round.counted),
      round.epsilon_after === null ? "–" : figure(round.epsilon_after),
      time(round.ended_at ?? round.opened_at),
      span(lasted(round)),
      round.model_digest ? h("code", {}, round.model_digest.slice(0, 12)) : "–",
    ]);
    return h("div", { class: "card" }, table({
      caption: `The last ${LISTED_ROUNDS} rounds that ended, newest first`, hideCaption: true, style: "cards", rows,
      columns: ["Round", "End", "Counted", "Epsilon after", "At", "Took", "Model"],
    }), sourceLine(this.roundsSource));
  }
}

export function taskView(context: Context, name: string): View {
  return new TaskPage(context, name);
}
