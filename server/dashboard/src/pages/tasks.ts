// All tasks at a look: where each stands, and what it has spent.
import { get } from "../api";
import { meter } from "../chart";
import { type Child, h } from "../dom";
import { count, figure, plural } from "../format";
import { codeBlock, section, sourceLine, stateBadge, table, tiles } from "../parts";
import type { Page, Task } from "../types";
import { type Context, POLL, type View } from "../view";

const PATH = "/api/v1/tasks";
/** From which share of its budget on a task is marked. */
export const NEARLY_SPENT = 0.9;

export function spentShare(task: Task): number | null {
  return task.epsilon_budget === null || task.epsilon_spent === null ? null : task.epsilon_spent / task.epsilon_budget;
}

function progress(task: Task): Child {
  return [h("span", { class: "beside" }, `${count(task.rounds_published)} of ${count(task.rounds_total)}`),
          meter(task.rounds_published / task.rounds_total, 1)];
}

function spent(task: Task): Child {
  const share = spentShare(task);
  if (share === null) return task.local ? "devices add their own noise" : "no noise: nothing is claimed";
  return [h("span", { class: "beside" },
      `ε ${figure(task.epsilon_spent ?? 0)} of ${figure(task.epsilon_budget ?? 0)}`),
          meter(share, share >= NEARLY_SPENT ? 4 : 2)];
}

function now(task: Task): Child {
  const round = task.current_round;
  if (!round) return task.state_reason || "no round is under way";
  return `round ${round.round}: ${round.waiting_for || round.phase}`;
}

function row(task: Task): Child[] {
  return [h("a", { href: `#/tasks/${task.name}` }, task.name), stateBadge(task.state), progress(task), spent(task),
      now(task)];
}

function summary(tasks: Task[]): HTMLElement {
  const active = tasks.filter((task) => task.state === "active");
  const shares = tasks.filter((task) => task.state === "active").map((task) => spentShare(task) ?? 0);
  return tiles([
    { name: "Active tasks", value: count(active.length), more: `of ${plural(tasks.length, "task")}` },
    { name: "Models published", value: count(tasks.reduce((sum, task) => sum + task.rounds_published, 0)),
        more: "one for each round" },
    { name: "Largest share of a budget spent", value: shares.length ? `${Math.round(Math.max(...shares) * 100)} %`
        : "–",
      more: "of active tasks" },
  ]);
}

function first(): Child[] {
  return [h("p", {},
            "There is no task yet. A task says which model is trained, by how many devices, and what it may cost:"),
          codeBlock("tacit task create -f task.toml --dry-run   # what it would cost\ntacit task create -f task.toml")];
}

export function tasksView({ signal }: Context): View {
  let tasks: Task[] = [];
  return {
    title: "Tasks",
    every: POLL,
    load: async () => {
      tasks = (await get<Page<Task>>(PATH, signal)).items;
    },
    render: () => [
      summary(tasks),
      section("all", "All tasks", tasks.length === 0 ? first() : h("div", { class: "card" },
        table({ caption: "Tasks of this server", hideCaption: true, style: "cards",
                columns: ["Task", "State", "Rounds", "Privacy spent", "Now"], rows: tasks.map(row) }),
        sourceLine({ path: PATH }))),
    ],
  };
}
