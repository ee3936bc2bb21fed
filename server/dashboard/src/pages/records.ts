// The two records that nobody may change unseen: each task's privacy ledger, and the audit log. Their chains can be
// computed again here, from the first link to the last.
import { get, knows, pages, Problem } from "../api";
import { ChainCheck, entryHash, type Link, policyDigest, recordHash } from "../chains";
import { type Child, h } from "../dom";
import { clock, count, figure, plural } from "../format";
import { codeBlock, missing, note, section, sourceLine, stateBadge, table, trouble, withheld } from "../parts";
import type { AuditRecord, AuditVerification, Ledger, LedgerEntry, LedgerVerification, Page, Policy,
  Task } from "../types";
import { type Context, may, type View } from "../view";

const SHOWN = 25;
/** Entries that are read to find the newest; who wants those beyond verifies, or asks the command line. */
const READ = 20_000;
const NO_LINK = "0".repeat(64);
const AUDIT = "/api/v1/audit";

/** One record: what is shown of it, and how it is verified. */
class ChainedRecord<Item extends Link> {
  private items: Item[] = [];
  private shown = SHOWN;
  private cut = false;
  private checking = false;
  private result: Child = null;
  fault: Problem | null = null;

  constructor(private readonly context: Context, private readonly of: {
    id: string;
    path: string;
    one: string;
    columns: string[];
    row: (item: Item) => Child[];
    check: (noted: string) => Promise<ChainCheck<Item>>;
    /** The server's own look, by this call. */
    verification: string;
    afterwards: Child;
  }) {}

  private get firstPage(): string {
    return `${this.of.path}?after=0&limit=1000`;
  }

  async load(): Promise<void> {
    this.items = [];
    try {
      // The first page by the call that the page names, so that what it shows of it can be looked at.
      const first = await get<Page<Item>>(this.firstPage, this.context.signal);
      this.items = first.items;
      if (first.next_cursor !== null) await this.readOn();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.fault = error;
    }
  }

  private async readOn(): Promise<void> {
    this.items = [];
    for await (const page of pages<Page<Item>>(this.of.path, this.context.signal)) {
      this.items.push(...page.items);
      this.cut = this.items.length >= READ && page.next_cursor !== null;
      if (this.cut) return;
    }
  }

  render(): Child {
    if (this.fault) return note("calm", this.fault.detail, ".");
    const newest = [...this.items].reverse().slice(0, this.shown);
    const older = this.items.length > this.shown &&
      h("button", { type: "button", onclick: () => this.showOlder() }, `Show ${SHOWN} older`);
    return h("div", { class: "card" }, this.checking ? h("p", { role: "status" }, "Verifying…") : this.form(),
      h("div", { role: "status", id: `${this.of.id}-result`, class: "result" }, this.result),
      this.cut && note("calm", `Only the first ${count(READ)} are shown here; verifying reads them all.`),
      table({ caption: `${plural(this.items.length, this.of.one, this.of.id === "ledger" ? "entries"
          : "records")}, newest first`,
              style: "cards", columns: this.of.columns, rows: newest.map(this.of.row) }),
      older, sourceLine({ path: this.firstPage }));
  }

  private showOlder(): void {
    this.shown += SHOWN;
    this.context.show();
  }

  private form(): HTMLElement {
    const ask = (event: SubmitEvent): void => {
      event.preventDefault();
      const noted = String(new FormData(event.target as HTMLFormElement).get("noted")).trim().toLowerCase();
      void this.verify(noted);
    };
    const id = `${this.of.id}-noted`;
    return h("form", { onsubmit: ask, class: "asking" },
      h("label", { for: id }, "A head that you noted earlier (optional)"),
      h("input", { id, name: "noted", pattern: "\\s*[0-9a-fA-F]{64}\\s*", autocomplete: "off", spellcheck: "false",
          maxlength: 70 }),
      h("button", { type: "submit" }, `Verify the ${this.of.id === "ledger" ? "ledger" : "audit log"}`));
  }

  private async verify(noted: string): Promise<void> {
    this.checking = true;
    this.result = null;
    this.context.show();
    try {
      const check = await this.of.check(noted);
      this.result = [this.tell(check, noted), await this.askServer(check)];
    } catch (error) {
      if (this.context.signal.aborted) return;
      this.result = trouble(error);
    }
    this.checking = false;
    this.context.show();
  }

  // What the server finds goes further: it has the accountants. That both agree is told as well.
  private async askServer(check: ChainCheck<Item>): Promise<Child> {
    const call = this.of.verification.replace(/tasks\/[^/]+/, "tasks/{task}");
    if (check.fault) return null;
    if (!await knows(call)) return missing(`GET ${this.of.verification}`);
    const found = await get<LedgerVerification | AuditVerification>(this.of.verification, this.context.signal);
    const source = sourceLine({ path: this.of.verification });
    if (!found.holds) return [note("bad", h("strong", {}, "The server finds a fault. "), found.fault ?? ""), source];
    const entries = "entries" in found ? found.entries : found.records;
    // There may be more by now, never less.
    if (entries < check.links || (entries === check.links && found.head !== check.head))
      return [note("bad", h("strong", {}, "The server verified another record "), "than the one that it sent."),
          source];
    const spent = "epsilon_spent" in found && found.epsilon_spent !== null
      ? `, and computed what each entry costs: ${figure(found.epsilon_spent)} is spent` : "";
    return [note("good", `The server verified ${count(entries)} as well${spent}.`), source];
  }

  private tell(check: ChainCheck<Item>, noted: string): Child {
    if (check.fault) {
      return note("bad", h("strong", {}, "This record was changed. "),
          `${check.fault}: everything from there on proves nothing. `,
        "Stop what relies on it, and look at the server's own check: tacit doctor.");
    }
    const missed = noted !== "" && !check.met;
    return [
      note(missed ? "bad" : "good", h("strong", {}, missed ? "The noted head is not on this chain. " : "Whole. "),
        missed ? "The record was cut or written anew since it was noted."
          : `${plural(check.links, this.of.one, this.of.id === "ledger" ? "entries"
              : "records")}: this browser computed each hash again, and each continues the one before.`,
        noted !== "" && check.met ? " The head that you noted is among them." : null),
      h("p", {}, "Its head, to note somewhere else: without that nobody can tell that a whole record was rolled back. ",
        h("code", { class: "head" }, check.head)),
      this.of.afterwards,
    ];
  }
}

const LEDGER_COLUMNS = ["Entry", "Kind", "Round", "Noise", "Clip norm", "Cohort", "Epsilon after", "At (UTC)", "Hash"];
const AUDIT_COLUMNS = ["Record", "At (UTC)", "Who", "Did", "To", "Detail", "Hash"];

function entryRow(entry: LedgerEntry): Child[] {
  return [count(entry.sequence), stateBadge(entry.kind), count(entry.round), figure(entry.noise_multiplier),
      figure(entry.clip_norm),
          count(entry.cohort), entry.epsilon_after === null ? "∞" : figure(entry.epsilon_after),
          h("span", { class: "nowrap" }, clock(entry.at_ms)),
          h("code", {}, entry.hash.slice(0, 12))];
}

function auditRow(record: AuditRecord): Child[] {
  return [count(record.sequence), h("span", { class: "nowrap" }, clock(record.at)), record.actor, record.action,
          record.target, record.detail,
          h("code", {}, record.hash.slice(0, 12))];
}

class RecordsPage implements View {
  readonly title = "Ledger and audit";
  readonly every = 0;
  private tasks: Task[] = [];
  private task: string | null;
  private ledger: ChainedRecord<LedgerEntry> | null = null;
  private audit: ChainedRecord<AuditRecord> | null = null;

  constructor(private readonly context: Context, task: string | null) {
    this.task = task;
  }

  async load(): Promise<void> {
    const { me, signal } = this.context;
    this.tasks = (await get<Page<Task>>("/api/v1/tasks", signal)).items;
    this.task ??= (this.tasks.find((task) => task.mechanism !== "none") ?? this.tasks[0])?.name ?? null;
    const task = this.task;
    if (task !== null && this.mechanismOf(task) !== "none" && may(me, "read_ledger", task)) {
      this.ledger = this.ledgerOf(task);
      await this.ledger.load();
    }
    if (may(me, "read_audit")) {
      this.audit = this.auditLog();
      await this.audit.load();
    }
  }

  private mechanismOf(name: string): string | undefined {
    return this.tasks.find((task) => task.name === name)?.mechanism;
  }

  private ledgerOf(task: string): ChainedRecord<LedgerEntry> {
    const path = `/api/v1/tasks/${task}/ledger`;
    return new ChainedRecord<LedgerEntry>(this.context, {
      id: "ledger", path, one: "entry", columns: LEDGER_COLUMNS, row: entryRow,
      check: (noted) => this.checkLedger(task, path, noted), verification: `${path}/verification`,
      afterwards: [h("p", {},
                       "Whether each epsilon is what its entry costs takes an accountant. Without the server:"),
                   codeBlock(`tacit privacy ledger ${task} -o ledger.json\ntacit privacy verify ledger.json`)],
    });
  }

  private async checkLedger(task: string, path: string, noted: string): Promise<ChainCheck<LedgerEntry>> {
    let check: ChainCheck<LedgerEntry> | null = null;
    for await (const page of pages<Ledger>(path, this.context.signal)) {
      check ??= await this.begin(task, page.policy, noted);
      await check.take(page.items);
      if (check.fault) break;
    }
    if (!check) throw new Problem(0, "the server answered nothing");
    return check;
  }

  private async begin(task: string, policy: Policy, noted: string): Promise<ChainCheck<LedgerEntry>> {
    const digest = await policyDigest(policy);
    const check = new ChainCheck<LedgerEntry>("entry", digest, (entry) => entryHash(task, entry), noted);
    if (digest !== policy.digest) check.fault = "the policy is not what its digest was made of";
    return check;
  }

  private auditLog(): ChainedRecord<AuditRecord> {
    return new ChainedRecord<AuditRecord>(this.context, {
      id: "audit", path: AUDIT, verification: `${AUDIT}/verification`, one: "record", columns: AUDIT_COLUMNS,
      row: auditRow, afterwards: null,
      check: async (noted) => {
        const check = new ChainCheck<AuditRecord>("record", NO_LINK, recordHash, noted);
        for await (const page of pages<Page<AuditRecord>>(AUDIT, this.context.signal)) await check.take(page.items);
        return check;
      },
    });
  }

  render(): Child[] {
    return [section("ledger", "Privacy ledger", this.choice(), this.ledgerPart()),
            section("audit-log", "Audit log", this.audit ? this.audit.render()
                : withheld("the audit log", "auditor or admin"))];
  }

  private choice(): Child {
    if (this.tasks.length === 0) return null;
    const go = (event: Event): void => {
      location.hash = `#/records/${(event.target as HTMLSelectElement).value}`;
    };
    return h("p", { class: "asking" }, h("label", { for: "task" }, "Task"),
      h("select", { id: "task", onchange: go }, this.tasks.map((task) =>
        h("option", { value: task.name, selected: task.name === this.task }, task.name))));
  }

  private ledgerPart(): Child {
    if (this.task === null) return note("calm", "There is no task yet, and so no ledger.");
    if (this.mechanismOf(this.task) === "none") return note("calm",
        "The server adds no noise in this task: it has no ledger.");
    return this.ledger ? this.ledger.render() : withheld("ledgers", "scientist, operator, auditor or admin");
  }
}

export function recordsView(context: Context, task: string | null): View {
  return new RecordsPage(context, task);
}
