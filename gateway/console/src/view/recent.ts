// The tasks of this deployment, newest first.
import type { Task } from "../../generated/troupe/api/orchestrator/v1/task_pb.js";
import { type Orchestrator, problemOf, UNARY } from "../client.js";
import { ago, duration, milliseconds, TASK_STATES } from "../words.js";
import { h, say, show } from "./dom.js";
import { icon, TASK_SHAPES } from "./icons.js";

const PAGE_SIZE = 20;

export class RecentView {
  private readonly list = h("ul", { class: "tasks" });
  private readonly note = h("p", { class: "muted small" });
  private readonly more = h("button", { type: "button", class: "quiet", hidden: true }, "Show older");
  readonly element = h(
    "aside",
    { class: "recent", "aria-labelledby": "recent-title" },
    h("h2", { id: "recent-title" }, "Recent tasks"),
    this.list,
    this.note,
    this.more,
  );
  private open = "";
  private pages = 1;
  private asking = false;
  private again = false;

  constructor(private readonly client: Orchestrator) {
    this.more.addEventListener("click", () => {
      this.pages += 1;
      void this.refresh();
    });
    document.addEventListener("visibilitychange", () => void (document.hidden || this.refresh()));
  }

  select(taskId: string): void {
    this.open = taskId;
    for (const link of this.list.querySelectorAll("a")) mark(link, taskId);
  }

  /** Asks for the list; while it is asked for, once more. */
  async refresh(): Promise<void> {
    this.again = this.asking;
    if (this.asking) return;
    this.asking = true;
    try {
      await this.read();
    } catch (error) {
      say(this.note, `The list cannot be read: ${problemOf(error).message}`);
    } finally {
      this.asking = false;
    }
    if (this.again) await this.refresh();
  }

  private async read(): Promise<void> {
    const tasks: Task[] = [];
    let pageToken = "";
    for (let page = 0; page < this.pages; page += 1) {
      const answer = await this.client.listTasks({ pageSize: PAGE_SIZE, pageToken }, UNARY);
      tasks.push(...answer.tasks);
      pageToken = answer.nextPageToken;
      if (pageToken === "") break;
    }
    show(this.more, pageToken !== "");
    say(this.note, tasks.length > 0 ? "" : "None yet.");
    this.list.replaceChildren(...tasks.map((task) => this.item(task)));
  }

  private item(task: Task): HTMLElement {
    const word = TASK_STATES[task.state];
    const created = milliseconds(task.createTime);
    const took = task.endTime ? duration(milliseconds(task.endTime) - created) : "";
    const facts = [word, took, created ? ago(created, Date.now()) : ""].filter(Boolean).join(" · ");
    const link = h(
      "a",
      { href: `#/tasks/${encodeURIComponent(task.taskId)}`, "data-state": word },
      h("span", { class: "state" }, icon(TASK_SHAPES[task.state])),
      h("span", { class: "words" }, h("span", { class: "title" }, task.spec?.input ?? task.taskId), h("span", { class: "facts" }, facts)),
    );
    mark(link, this.open);
    return h("li", {}, link);
  }
}

function mark(link: HTMLAnchorElement, taskId: string): void {
  const current = taskId !== "" && link.hash === `#/tasks/${encodeURIComponent(taskId)}`;
  if (current) link.setAttribute("aria-current", "page");
  else link.removeAttribute("aria-current");
}
