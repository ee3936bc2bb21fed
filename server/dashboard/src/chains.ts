// Computes the hash chains of a privacy ledger and of the audit log again, in the browser: not the server says that its
// records hold, but whoever looks finds that they do. The bytes are those of CanonicalBytes and PolicyDigest
// (dp/ledger.h) and of AuditHash (server/store/records.h).
import type { AuditRecord, LedgerEntry, Mechanism, Policy } from "./types";

class ByteWriter {
  private bytes = new Uint8Array(512);
  private used = 0;

  private room(size: number): DataView {
    if (this.used + size > this.bytes.length) {
      const larger = new Uint8Array(2 * (this.used + size));
      larger.set(this.bytes);
      this.bytes = larger;
    }
    const view = new DataView(this.bytes.buffer, this.used, size);
    this.used += size;
    return view;
  }

  u8(value: number): this {
    this.room(1).setUint8(0, value);
    return this;
  }

  u32(value: number): this {
    this.room(4).setUint32(0, value, true);
    return this;
  }

  u64(value: number): this {
    this.room(8).setBigUint64(0, BigInt(value), true);
    return this;
  }

  // JSON has no infinity, and the server writes null for it.
  f64(value: number | null): this {
    this.room(8).setFloat64(0, value ?? Infinity, true);
    return this;
  }

  text(value: string): this {
    const encoded = new TextEncoder().encode(value);
    return this.u64(encoded.length).raw(encoded);
  }

  raw(value: Uint8Array): this {
    const view = this.room(value.length);
    new Uint8Array(view.buffer, view.byteOffset, value.length).set(value);
    return this;
  }

  hex(value: string): this {
    return this.raw(Uint8Array.from(value.match(/../g) ?? [], (pair) => parseInt(pair, 16)));
  }

  async sha256(): Promise<string> {
    const digest = await crypto.subtle.digest("SHA-256", this.bytes.subarray(0, this.used));
    return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
}

const KINDS = { reserve: 1, charge: 2, void: 3, adjust: 4 } as const;
const MECHANISMS: Record<Mechanism, number> = { none: 1, gaussian: 2, laplace: 3 };

export function entryHash(task: string, entry: LedgerEntry): Promise<string> {
  return new ByteWriter()
    .text("tacit-ledger/1").text(task).u64(entry.sequence).u8(KINDS[entry.kind]).u64(entry.round)
    .u8(MECHANISMS[entry.mechanism]).f64(entry.noise_multiplier).f64(entry.clip_norm).u32(entry.grid_radius)
    .u64(entry.cohort).u64(entry.at_ms).f64(entry.epsilon_after).hex(entry.previous)
    .sha256();
}

export function policyDigest(policy: Policy): Promise<string> {
  const writer = new ByteWriter()
    .text("tacit-policy/1").text(policy.task).u8(MECHANISMS[policy.mechanism]).f64(policy.noise_multiplier)
    .f64(policy.clip_norm).u32(policy.grid_radius).u64(policy.cohort).f64(policy.delta).f64(policy.epsilon_budget)
    .u64(policy.max_participations).u64(policy.min_separation).u8(policy.coin ? 1 : 0);
  if (policy.coin) writer.f64(policy.coin.probability).u64(policy.coin.population).u64(policy.coin.max_cohort);
  writer.u8(policy.clip_tracking ? 1 : 0);
  const tracking = policy.clip_tracking;
  if (tracking) writer.u32(tracking.bit_steps).f64(tracking.quantile).f64(tracking.learning_rate);
  return writer.sha256();
}

export function recordHash(record: AuditRecord): Promise<string> {
  return new ByteWriter()
    .text("tacit-audit/1").u64(record.sequence).u64(record.at_ms).text(record.actor).text(record.action)
    .text(record.target).text(record.detail).hex(record.previous)
    .sha256();
}

export interface Link {
  sequence: number;
  previous: string;
  hash: string;
}

/** What was found so far; a chain that is broken stays so. */
export class ChainCheck<Item extends Link> {
  links = 0;
  fault: string | null = null;
  /** Whether a head that somebody noted is on this chain. */
  met = false;

  /** `head` is what the first link follows. */
  constructor(readonly name: string, public head: string, private readonly hashOf: (item: Item) => Promise<string>,
              private readonly noted: string) {}

  async take(items: Item[]): Promise<void> {
    for (const item of items) {
      if (this.fault) return;
      const last = this.links;
      if (item.sequence !== last + 1) this.fault = `${this.name} ${last + 1} is missing`;
      else if (item.previous !== this.head) this.fault =
          `${this.name} ${item.sequence} does not continue ${this.name} ${last}`;
      else if (item.hash !== (await this.hashOf(item))) this.fault =
          `${this.name} ${item.sequence} is not what its hash was made of`;
      else {
        this.links = item.sequence;
        this.head = item.hash;
        this.met ||= item.hash === this.noted;
      }
    }
  }
}
