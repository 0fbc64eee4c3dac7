// One task: what was asked, where it stands, its plan, its steps and its report.
import { CancelMode } from "../../generated/troupe/api/orchestrator/v1/orchestrator_service_pb.js";
import type { TaskEvent } from "../../generated/troupe/api/orchestrator/v1/event_pb.js";
import { StepState, TaskState } from "../../generated/troupe/api/orchestrator/v1/task_pb.js";
import { newRequestId, type Orchestrator, problemOf, UNARY } from "../client.js";
import { type Connection, Feed } from "../feed.js";
import { layers, type StepModel, TaskModel } from "../task.js";
import { counting, duration, milliseconds, money, plural, reasonName, TASK_STATES } from "../words.js";
import { h, perFrame, say, show } from "./dom.js";
import { FailureView } from "./failure.js";
import { setIcon, TASK_SHAPES } from "./icons.js";
import { PlanView } from "./plan.js";
import { ReportView } from "./report.js";
import { StepView } from "./step.js";

const LONG_REQUEST = 220;

export interface Surroundings {
  connection(state: Connection): void;
  /** The task's state changed. */
  moved(task: TaskModel): void;
  announce(text: string): void;
}

export class TaskView {
  private task: TaskModel;
  private readonly feed: Feed;
  private readonly title = h("h1", { tabindex: "-1" });
  private readonly unfold = h("button", { type: "button", class: "quiet", hidden: true }, "Show all");
  private readonly icon = h("span", { class: "state" });
  private readonly word = h("span", {});
  private readonly badge = h("span", { class: "badge" }, this.icon, this.word);
  private readonly facts = h("span", { class: "facts" });
  private readonly cancel = h("button", { type: "button", hidden: true }, "Cancel");
  private readonly retry = h("button", { type: "button", class: "primary" }, "Try again");
  private readonly failure = new FailureView();
  private readonly plan = new PlanView((id) => this.views.get(id)?.open());
  private readonly report = new ReportView();
  private readonly list = h("ol", { class: "steps" });
  private readonly counted = h("span", { class: "muted" });
  private readonly views = new Map<string, StepView>();
  private readonly draw = perFrame(() => this.render());
  private readonly ticking: number;
  private told = TaskState.UNSPECIFIED;
  readonly element: HTMLElement;

  constructor(
    private readonly client: Orchestrator,
    id: string,
    private readonly around: Surroundings,
  ) {
    this.task = new TaskModel(id);
    this.feed = new Feed(client, id, {
      event: (event) => this.take(event),
      restart: () => this.forget(),
      ended: () => this.task.ended,
      connection: (state) => this.connected(state),
    });
    this.cancel.addEventListener("click", () => void this.cancelTask());
    this.retry.addEventListener("click", () => void this.retryTask());
    this.unfold.addEventListener("click", () => this.fold(this.title.classList.contains("folded")));
    const steps = h(
      "section",
      { class: "activity panel", "aria-labelledby": "steps-title" },
      h("header", {}, h("h2", { id: "steps-title" }, "Steps"), this.counted),
      this.list,
    );
    this.element = h(
      "article",
      { class: "task" },
      h("header", { class: "head" }, this.title, this.unfold, h("div", { class: "bar" }, this.badge, this.facts, this.cancel)),
      this.failure.element,
      this.plan.element,
      h("div", { class: "columns-2" }, this.report.element, steps),
    );
    this.ticking = setInterval(() => this.tick(), 1000);
    this.draw();
    this.feed.start();
  }

  close(): void {
    this.feed.stop();
    clearInterval(this.ticking);
  }

  focus(): void {
    this.title.focus({ preventScroll: true });
  }

  readonly hurry = (): void => this.feed.hurry();

  private take(event: TaskEvent): void {
    this.task.apply(event);
    this.draw();
  }

  private forget(): void {
    this.task = new TaskModel(this.task.id);
    this.views.clear();
    this.list.replaceChildren();
    this.draw();
  }

  private connected(state: Connection): void {
    this.around.connection(state);
    if (state.kind !== "lost") return;
    const { reason, message } = state.problem;
    this.failure.show({ title: reason === "TASK_NOT_FOUND" ? "There is no such task" : "The task cannot be read", reason, message });
  }

  private render(): void {
    const { task } = this;
    const changed = [...task.changed];
    const grown = task.grown;
    task.changed.clear();
    task.grown = false;
    for (const step of changed) this.stepView(step).update(step);
    if (grown) this.list.replaceChildren(...layers(task.steps).flat().map((step) => this.stepView(step).element));
    this.plan.update(task, changed, grown);
    this.report.update(task);
    this.head();
    if (task.state !== this.told) this.moved();
  }

  private stepView(step: StepModel): StepView {
    let view = this.views.get(step.id);
    if (view === undefined) {
      view = new StepView(this.task, (id, decision, comment) => this.resolve(id, decision, comment));
      this.views.set(step.id, view);
    }
    return view;
  }

  private head(): void {
    const { task } = this;
    if (this.title.textContent !== task.input) {
      say(this.title, task.input);
      const long = task.input.length > LONG_REQUEST || task.input.split("\n").length > 4;
      show(this.unfold, long);
      this.fold(!long);
    }
    const word = TASK_STATES[task.state];
    this.element.dataset.state = word;
    this.element.dataset.events = String(task.events);
    this.badge.dataset.state = word;
    setIcon(this.icon, TASK_SHAPES[task.state]);
    say(this.word, word);
    const done = [...task.steps.values()].filter((step) => step.state === StepState.COMPLETED).length;
    say(this.counted, task.steps.size > 0 ? `${done} of ${task.steps.size} completed` : "");
    show(this.cancel, task.events > 0 && !task.ended);
    this.tick();
  }

  private tick(): void {
    const { task } = this;
    if (task.submittedAt === 0) return;
    const now = Math.max(Date.now(), task.lastAt);
    const usage = task.metrics?.usage;
    const tokens = (usage?.inputTokens ?? task.inputTokens) + (usage?.outputTokens ?? task.outputTokens);
    const cost = usage?.costUsdMicros ?? task.costMicros;
    const total = task.metrics ? milliseconds(task.metrics.totalTime) : task.lastAt - task.submittedAt;
    const facts = [
      task.ended ? duration(total) : counting(now - task.submittedAt),
      tokens > 0n && plural(Number(tokens), "token"),
      cost > 0n && money(cost),
      new Date(task.submittedAt).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }),
    ];
    say(this.facts, facts.filter(Boolean).join(" · "));
    if (!task.ended) for (const view of this.views.values()) view.tick(now);
  }

  /** The task is in another state than the page last said. */
  private moved(): void {
    const { task } = this;
    this.told = task.state;
    this.cancel.disabled = this.retry.disabled = false;
    const word = TASK_STATES[task.state];
    this.around.announce(`Task ${word}`);
    this.around.moved(task);
    if (task.state === TaskState.FAILED && task.failure) {
      const step = task.steps.get(task.failedStep)?.title;
      const title = step ? `“${step}” failed` : "The task failed";
      this.failure.show({ title, reason: reasonName(task.failure), message: task.failure.message }, this.retry);
    } else if (task.state === TaskState.CANCELLED && task.cancelReason) {
      this.failure.show({ title: "The task was cancelled", reason: "", message: task.cancelReason });
    } else {
      this.failure.show(undefined);
    }
  }

  private fold(open: boolean): void {
    this.title.classList.toggle("folded", !open);
    say(this.unfold, open ? "Show less" : "Show all");
    this.unfold.setAttribute("aria-expanded", String(open));
  }

  private async cancelTask(): Promise<void> {
    this.cancel.disabled = true;
    const request = { taskId: this.task.id, mode: CancelMode.IMMEDIATE, reason: "Cancelled on the live page.", requestId: newRequestId() };
    if (!(await this.ask("The task was not cancelled", () => this.client.cancelTask(request, UNARY)))) this.cancel.disabled = false;
  }

  private async retryTask(): Promise<void> {
    this.retry.disabled = true;
    const request = { taskId: this.task.id, requestId: newRequestId() };
    if (await this.ask("The task was not taken up again", () => this.client.retryTask(request, UNARY))) this.feed.start();
    else this.retry.disabled = false;
  }

  private resolve(stepId: string, decision: number, comment: string): Promise<boolean> {
    const request = { taskId: this.task.id, stepId, decision, comment, decidedBy: "live page", requestId: newRequestId() };
    return this.ask("The decision was not recorded", () => this.client.resolveApproval(request, UNARY));
  }

  private async ask(title: string, call: () => Promise<unknown>): Promise<boolean> {
    try {
      await call();
      return true;
    } catch (error) {
      const { reason, message } = problemOf(error);
      this.failure.show({ title, reason, message });
      return false;
    }
  }
}
