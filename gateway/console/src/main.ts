// The page: a bar, the tasks, and either the question or the task that the address names.
import { connect, UNARY } from "./client.js";
import type { Connection } from "./feed.js";
import type { TaskModel } from "./task.js";
import { ConnectionView, spoken } from "./view/connection.js";
import { h, say, show } from "./view/dom.js";
import { HomeView } from "./view/home.js";
import { icon } from "./view/icons.js";
import { RecentView } from "./view/recent.js";
import { TaskView } from "./view/task.js";
import { TASK_STATES } from "./words.js";

/** How often the list of tasks is read again, for those that others submit. */
const LIST_MS = 20_000;

const client = connect();
const home = new HomeView(client, (taskId) => void (location.hash = `#/tasks/${encodeURIComponent(taskId)}`));
const recent = new RecentView(client);
const connection = new ConnectionView(() => task?.hurry());
const announcer = h("p", { class: "unseen", role: "status" });
const main = h("main", { id: "main" });
const another = h("a", { class: "button", href: "#/" }, icon("plus"), h("span", {}, "New task"));
const skip = h("button", { type: "button", class: "skip" }, "Skip to the task");
let task: TaskView | undefined;

function moved(model: TaskModel): void {
  void recent.refresh();
  document.title = model.input ? `${TASK_STATES[model.state]} · ${model.input.slice(0, 80)}` : "Troupe";
}

function connected(state: Connection): void {
  connection.update(state);
  say(announcer, spoken(state));
}

function route(): void {
  const id = /^#\/tasks\/(.+)$/.exec(location.hash)?.[1];
  task?.close();
  task = undefined;
  connection.update(undefined);
  document.title = "Troupe";
  show(another, id !== undefined);
  recent.select(id === undefined ? "" : decodeURIComponent(id));
  if (id === undefined) {
    main.replaceChildren(home.element);
    home.focus();
    return;
  }
  const announce = (text: string): void => say(announcer, text);
  task = new TaskView(client, decodeURIComponent(id), { connection: connected, moved, announce });
  main.replaceChildren(task.element);
  scrollTo(0, 0);
  task.focus();
}

async function showAgents(): Promise<void> {
  const { agents } = await client.listAgents({}, UNARY);
  home.showAgents(agents);
}

skip.addEventListener("click", () => {
  main.tabIndex = -1;
  main.focus();
});
const brand = h("a", { class: "brand", href: "#/", "aria-label": "Troupe, to the start" }, h("span", { class: "mark" }), "Troupe");
const bar = h("header", { class: "top" }, skip, brand, connection.element, another);
document.getElementById("app")!.replaceChildren(bar, h("div", { class: "frame" }, main, recent.element), announcer);
addEventListener("hashchange", route);
setInterval(() => connection.tick(), 500);
setInterval(() => void (document.hidden || recent.refresh()), LIST_MS);
route();
void recent.refresh();
// The page works without them, and says elsewhere when the server cannot be reached.
showAgents().catch(() => undefined);
