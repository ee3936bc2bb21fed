// The fleet as a whole. Names stand here only when somebody asks for them.
import { get, knows, Problem } from "../api";
import { type Bar, bars } from "../chart";
import { type Child, h } from "../dom";
import { clock, count, plural, relative, span } from "../format";
import { missing, section, sourceLine, stateBadge, table, tiles, trouble, withheld } from "../parts";
import type { Device, Fleet, Page } from "../types";
import { type Context, may, POLL, type View } from "../view";

const FLEET = "/api/v1/fleet";
const AT_ONCE = 50;
const NAME = "[a-z0-9][a-z0-9\\-]{0,62}";
const WEEK = 7 * 86400;

/** How many end in each span, from how many end within each bound. */
function expiries(certificates: Fleet["certificates"]): Bar[] {
  const { within, total } = certificates;
  const list = within.map((bound, at): Bar => {
    const before = within[at - 1];
    const name = !before ? "ended" : before.seconds === 0 ? `within ${span(bound.seconds)}`
        : `${span(before.seconds)} to ${span(bound.seconds)}`;
    const colour = at === 0 ? 4 : bound.seconds <= 86400 ? 3 : 1;
    return { name, value: bound.certificates - (before?.certificates ?? 0), colour };
  });
  const last = within[within.length - 1];
  if (last) list.push({ name: `after ${span(last.seconds)}`, value: total - last.certificates, colour: 1 });
  return list;
}

class DevicesPage implements View {
  readonly title = "Devices";
  readonly every = POLL;
  private fleet: Fleet | null = null;
  private known = true;
  private found: Device | null = null;
  private fault: unknown = null;
  private listed: Device[] | null = null;
  private next: string | null = "";
  private listPath = "";

  constructor(private readonly context: Context) {}

  async load(): Promise<void> {
    if (!may(this.context.me, "read_devices")) return;
    this.known = await knows(FLEET);
    if (this.known) this.fleet = await get<Fleet>(FLEET, this.context.signal);
  }

  render(): Child[] {
    if (!may(this.context.me, "read_devices")) return [withheld("devices", "operator, auditor or admin")];
    return [this.summary(), section("one", "One device", this.lookUp()), section("names", "Names", this.names())];
  }

  private summary(): Child {
    const fleet = this.fleet;
    if (!this.known || !fleet) return missing(`GET ${FLEET}`);
    const ends = (seconds: number): number =>
        fleet.certificates.within.find((each) => each.seconds === seconds)?.certificates ?? 0;
    const seen = fleet.agents.reduce((sum, each) => sum + each.devices, 0);
    return [
      tiles([
        { name: "Active devices", value: count(fleet.active), more: `${count(fleet.revoked)} revoked` },
        { name: "Came since the server started", value: count(seen), more: `of ${count(fleet.active)}` },
        { name: "Certificates that have ended", value: count(ends(0)),
            more: "their devices need a token to come back" },
        { name: "Certificates that end within a day", value: count(ends(86400) - ends(0)),
            more: "agents renew from half of a certificate's life on" },
      ]),
      section("fleet", "The fleet", h("div", { class: "charts" }, this.expiryBars(fleet), this.stateBars(fleet),
        this.versionBars(fleet))),
    ];
  }

  private expiryBars(fleet: Fleet): HTMLElement {
    const { total, within } = fleet.certificates;
    const soon = within.find((each) => each.seconds === WEEK)?.certificates ?? 0;
    return bars({
      id: "expiry", title: "Certificates by when they end", names: "Ends", values: "Certificates",
      source: { path: FLEET }, reading: `${count(soon)} of ${plural(total, "certificate")} end within a week.`,
      bars: expiries(fleet.certificates),
    });
  }

  private stateBars(fleet: Fleet): HTMLElement {
    return bars({
      id: "states", title: "States", names: "State", values: "Devices", source: { path: FLEET },
      reading: `${plural(fleet.active + fleet.revoked, "device")} ever enrolled.`,
      bars: [{ name: "active", value: fleet.active, colour: 2 }, { name: "revoked", value: fleet.revoked, colour: 4 }],
    });
  }

  private versionBars(fleet: Fleet): HTMLElement {
    return bars({
      id: "versions", title: "Agent versions", names: "Version", values: "Devices", source: { path: FLEET },
      reading: "What devices that came since the server's start say they run.",
      bars: fleet.agents.map((each) => ({ name: each.version, value: each.devices })),
    });
  }

  // ---- Single devices, when asked for ----

  private lookUp(): Child {
    const ask = (event: SubmitEvent): void => {
      event.preventDefault();
      const name = String(new FormData(event.target as HTMLFormElement).get("device"));
      void this.find(name);
    };
    return h("div", { class: "card" },
      h("form", { onsubmit: ask, class: "asking" },
        h("label", { for: "device" }, "Name of the device"),
        h("input", { id: "device", name: "device", required: true, pattern: NAME, autocomplete: "off",
            spellcheck: "false" }),
        h("button", { type: "submit" }, "Look it up")),
      h("div", { role: "status" }, this.fault ? trouble(this.fault) : this.found ? [
        table({ caption: `Device ${this.found.name}`, style: "cards", columns: COLUMNS,
            rows: [deviceRow(this.found)] }),
        sourceLine({ path: `/api/v1/devices/${this.found.name}` })] : null));
  }

  private async find(name: string): Promise<void> {
    this.found = null;
    this.fault = null;
    try {
      this.found = await get<Device>(`/api/v1/devices/${name}`, this.context.signal);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.fault = error;
    }
    this.context.show();
  }

  private names(): Child {
    const more = h("button", { type: "button", onclick: () => void this.list() },
      this.listed === null ? `List ${AT_ONCE} names` : `List ${AT_ONCE} more`);
    if (this.listed === null) return h("p", {}, "A fleet can be large: names are read when you ask for them. ", more);
    return h("div", { class: "card" },
        table({ caption: "Devices by name", hideCaption: true, style: "cards", columns: COLUMNS,
            rows: this.listed.map(deviceRow) }),
      this.next !== null ? more : h("p", {}, "These are all."), sourceLine({ path: this.listPath }));
  }

  private async list(): Promise<void> {
    this.listPath = `/api/v1/devices?limit=${AT_ONCE}${this.next ? `&after=${this.next}` : ""}`;
    const page = await get<Page<Device>>(this.listPath, this.context.signal);
    this.listed = [...(this.listed ?? []), ...page.items];
    this.next = page.next_cursor;
    this.context.show();
  }
}

const COLUMNS = ["Device", "State", "Enrolled", "Certificate ends", "Last seen"];

function deviceRow(device: Device): Child[] {
  return [device.name, stateBadge(device.state), clock(device.enrolled_at),
          `${clock(device.certificate_not_after)}, ${relative(device.certificate_not_after)}`,
          device.last_seen_at ? clock(device.last_seen_at) : "never"];
}

export function devicesView(context: Context): View {
  return new DevicesPage(context);
}
