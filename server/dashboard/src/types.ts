// What the REST interface answers: the parts of server/api/openapi.json that the pages use.

export type Mechanism = "gaussian" | "laplace" | "none";
export type Phase = "scheduled" | "open" | "closing" | "charged" | "published" | "abandoned";

export interface Page<Item> {
  items: Item[];
  next_cursor: string | null;
}

export interface Version {
  name: string;
  version: string;
  trust_domain: string;
}

export interface Whoami {
  name: string;
  role: string;
  proven_by: "certificate" | "token";
  token: string | null;
  expires_at: string;
  tasks: string[] | null;
  actions: string[];
}

export interface CurrentRound {
  round: number;
  phase: Phase;
  waiting_for: string;
  counted: number | null;
  leased: number | null;
  deadline: string | null;
}

export interface Task {
  name: string;
  state: "active" | "finished" | "budget_exhausted" | "stopped";
  state_reason: string;
  created_at: string;
  mechanism: Mechanism;
  local: object | null;
  rounds_total: number;
  rounds_published: number;
  cohort_size: number;
  cohort_min: number;
  asynchronous: object | null;
  current_round: CurrentRound | null;
  latest_version: number;
  model: string;
  parameters: number;
  max_participations: number;
  clip_norm: number;
  noise_multiplier: number | null;
  delta: number | null;
  epsilon_budget: number | null;
  epsilon_spent: number | null;
}

export interface Round {
  round: number;
  phase: Phase;
  reason: string;
  counted: number | null;
  opened_at: string;
  ended_at: string | null;
  epsilon_after: number | null;
  model_version: number | null;
  model_digest: string | null;
}

export interface CentralPrivacy {
  task: string;
  mechanism: "gaussian" | "laplace";
  unit: string;
  neighbouring: string;
  sampling: string;
  sampling_probability: number | null;
  accountant: string;
  delta: number;
  epsilon_spent: number;
  epsilon_reserved: number;
  epsilon_budget: number;
  noise_multiplier: number;
  rounds_by_noise: { noise_multiplier: number; rounds: number }[];
  filter: { order: number; statement: string } | null;
  clip_norm: number;
  clip_quantile: number | null;
  rounds_charged: number;
  max_participations: number;
  rounds_left: number | null;
  utility: { noise_to_signal: number; meaning: string; cohort_needed: number };
  not_covered: string[];
}

export interface OtherPrivacy {
  task: string;
  mechanism: "none";
  statement: string;
  local?: {
    mechanism: Mechanism;
    delta: number;
    max_releases: number;
    unit: string;
    neighbouring: string;
    accountant: string;
    epsilon_of_one_update: number;
    epsilon_at_max_releases: number;
    epsilon_counted: number;
    not_covered: string[];
  };
}

export type Privacy = CentralPrivacy | OtherPrivacy;

export interface LedgerEntry {
  sequence: number;
  kind: "reserve" | "charge" | "void" | "adjust";
  round: number;
  mechanism: Mechanism;
  noise_multiplier: number;
  clip_norm: number;
  grid_radius: number;
  cohort: number;
  at_ms: number;
  epsilon_after: number | null;
  previous: string;
  hash: string;
}

export interface Policy {
  task: string;
  mechanism: Mechanism;
  noise_multiplier: number;
  clip_norm: number;
  grid_radius: number;
  cohort: number;
  delta: number;
  epsilon_budget: number;
  max_participations: number;
  min_separation: number;
  coin: { probability: number; population: number; max_cohort: number } | null;
  clip_tracking: { bit_steps: number; quantile: number; learning_rate: number } | null;
  digest: string;
}

export interface Ledger extends Page<LedgerEntry> {
  policy: Policy;
  latest_version: number;
}

export interface AuditRecord {
  sequence: number;
  at: string;
  at_ms: number;
  actor: string;
  action: string;
  target: string;
  detail: string;
  previous: string;
  hash: string;
}

export interface Fleet {
  active: number;
  revoked: number;
  agents: { version: string; devices: number }[];
  certificates: { total: number; within: { seconds: number; certificates: number }[] };
}

export interface Device {
  name: string;
  state: "active" | "revoked";
  enrolled_at: string;
  certificate_not_after: string;
  certificate_serial: string;
  last_seen_at: string | null;
}

export interface AccessToken {
  id: string;
  name: string;
  role: string;
  state: "active" | "expired" | "revoked";
  expires_at: string;
}

export interface Forecast {
  items: { rounds: number; epsilon: number | null }[];
}

export interface LedgerVerification {
  holds: boolean;
  fault: string | null;
  entries: number;
  epsilon_spent: number | null;
  head: string | null;
}

export interface AuditVerification {
  holds: boolean;
  fault: string | null;
  records: number;
  head: string | null;
}

export interface Alert {
  name: string;
  severity: "page" | "ticket";
  task: string | null;
  summary: string;
  next: string;
}

export interface MetricSeries {
  labels: { [name: string]: string };
  value?: number | null;
  count?: number;
  sum?: number;
  buckets?: { up_to: number | null; count: number }[];
}

export interface Metric {
  name: string;
  type: "counter" | "gauge" | "histogram";
  series: MetricSeries[];
}
