// A step: its state in a line, and what it did below.
import { ApprovalDecision } from "../../generated/troupe/api/orchestrator/v1/event_pb.js";
import { StepState } from "../../generated/troupe/api/orchestrator/v1/task_pb.js";
import type { Entry, StepModel, TaskModel } from "../task.js";
import { advice, counting, duration, plural, reasonName, STEP_STATES } from "../words.js";
import { h, say, show } from "./dom.js";
import { withCode } from "./failure.js";
import { setIcon, type Shape, STEP_SHAPES } from "./icons.js";
import { MarkdownView } from "./markdown.js";

export type Resolve = (stepId: string, decision: ApprovalDecision, comment: string) => Promise<boolean>;

const OPENS = new Set([StepState.RUNNING, StepState.RETRYING, StepState.FAILED, StepState.AWAITING_APPROVAL]);

export class StepView {
  private readonly icon = h("span", { class: "state" });
  private readonly title = h("span", { class: "title" });
  private readonly facts = h("span", { class: "facts" });
  private readonly time = h("span", { class: "time" });
  private readonly word = h("span", { class: "word" });
  private readonly now = h("p", { class: "now" });
  private readonly bar = h("progress", { max: "1" });
  private readonly instruction = h("p", { class: "instruction" });
  private readonly before = h("p", { class: "before" });
  private readonly entries = h("ul", { class: "entries" });
  private readonly more = h("p", { class: "muted small" });
  private readonly failure = h("div", { class: "failure", hidden: true });
  private readonly approval = h("form", { class: "approval", hidden: true });
  private readonly question = h("p", {});
  private readonly text = new MarkdownView();
  private readonly output = h("div", { class: "output", tabindex: "0", "aria-label": "Text of the step" }, this.text.element);
  private readonly summary = h(
    "summary",
    {},
    this.icon,
    h("span", { class: "words" }, this.title, this.facts),
    h("span", { class: "figures" }, this.word, this.time),
  );
  private readonly details = h(
    "details",
    {},
    this.summary,
    h(
      "div",
      { class: "body" },
      this.approval,
      this.failure,
      this.now,
      this.bar,
      this.before,
      this.instruction,
      this.more,
      this.entries,
      this.output,
    ),
  );
  readonly element = h("li", { class: "step" }, this.details);
  private drawn: Entry[] = [];
  private touched = false;
  private step: StepModel | undefined;

  constructor(
    private readonly task: TaskModel,
    resolve: Resolve,
  ) {
    this.summary.addEventListener("click", () => (this.touched = true));
    this.details.addEventListener("toggle", () => this.step && this.body(this.step));
    this.approvalForm(resolve);
  }

  open(): void {
    this.touched = true;
    this.details.open = true;
    this.summary.focus({ preventScroll: true });
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.element.scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
  }

  update(step: StepModel): void {
    this.step = step;
    const word = STEP_STATES[step.state];
    this.element.dataset.state = word;
    this.element.dataset.step = step.id;
    setIcon(this.icon, STEP_SHAPES[step.state]);
    say(this.title, step.title);
    say(this.word, word);
    const attempt = step.attempt > 1 ? `attempt ${step.attempt}` : "";
    say(this.facts, [step.agent, attempt].filter(Boolean).join(" · "));
    if (!this.touched) this.details.open = OPENS.has(step.state);
    this.tick(0);
    if (this.details.open) this.body(step);
  }

  /** The time of a step that runs goes on between its events. */
  tick(now: number): void {
    const { step } = this;
    if (step === undefined) return;
    if (step.tookMs !== undefined) say(this.time, duration(step.tookMs));
    else if (step.state !== StepState.RUNNING) say(this.time, "");
    else say(this.time, counting((now || Math.max(Date.now(), this.task.lastAt)) - step.startedAt));
  }

  private body(step: StepModel): void {
    if (!this.details.open) return;
    const titles = step.dependsOn.map((id) => this.task.steps.get(id)?.title ?? id);
    const delegated = step.parent && `Delegated by ${this.task.steps.get(step.parent)?.title ?? step.parent}`;
    say(this.before, [delegated, titles.length > 0 && `After ${titles.join(", ")}`].filter(Boolean).join(" · "));
    say(this.instruction, step.instruction);
    show(this.instruction, step.instruction !== "" && step.instruction !== step.title);
    const running = step.state === StepState.RUNNING;
    say(this.now, running ? step.message : "");
    show(this.bar, running && step.fraction !== undefined);
    if (step.fraction !== undefined) this.bar.value = step.fraction;
    say(this.more, step.dropped ? `${plural(step.dropped, "earlier line")} not shown` : "");
    this.drawEntries(step.entries);
    this.text.update(step.text);
    show(this.output, step.text !== "");
    if (running) this.output.scrollTop = this.output.scrollHeight;
    this.drawFailure(step);
    show(this.approval, step.state === StepState.AWAITING_APPROVAL);
    say(this.question, step.message || "This step waits for your approval.");
  }

  private drawEntries(entries: Entry[]): void {
    let same = 0;
    while (same < entries.length && entries[same] === this.drawn[same]) same += 1;
    if (same === entries.length && same === this.drawn.length) return;
    while (this.entries.childNodes.length > same) this.entries.lastChild!.remove();
    this.entries.append(...entries.slice(same).map(entryLine));
    this.drawn = [...entries];
  }

  private drawFailure(step: StepModel): void {
    const failed = step.state === StepState.FAILED || step.state === StepState.RETRYING;
    show(this.failure, failed && step.failure !== undefined);
    if (!failed || !step.failure) return;
    const what = h("p", {}, h("strong", {}, reasonName(step.failure)), " ", ...withCode(step.failure.message));
    this.failure.replaceChildren(what, h("p", { class: "advice" }, advice(step.failure.reason)));
  }

  private approvalForm(resolve: Resolve): void {
    const comment = h("input", { type: "text", maxlength: "1000", placeholder: "Why (optional)", "aria-label": "Why" });
    const decide = (decision: ApprovalDecision) => async (): Promise<void> => {
      if (this.step === undefined) return;
      buttons.forEach((button) => (button.disabled = true));
      const decided = await resolve(this.step.id, decision, comment.value);
      if (!decided) buttons.forEach((button) => (button.disabled = false));
    };
    const approve = h("button", { type: "submit", class: "primary" }, "Approve");
    const reject = h("button", { type: "button" }, "Reject");
    const buttons = [approve, reject];
    this.approval.addEventListener("submit", (event) => {
      event.preventDefault();
      void decide(ApprovalDecision.APPROVE)();
    });
    reject.addEventListener("click", () => void decide(ApprovalDecision.REJECT)());
    this.approval.append(this.question, comment, h("div", { class: "buttons" }, approve, reject));
  }
}

const ENTRY_SHAPES: Record<Entry["kind"], Shape> = { progress: "note", tool: "tool", failure: "failed", decision: "completed" };
const ENTRY_WORDS: Record<Entry["state"], string> = { open: "running", done: "", failed: "failed" };

function entryLine(entry: Entry): HTMLElement {
  const slot = h("span", { class: "state" });
  setIcon(slot, entry.state === "failed" ? "failed" : ENTRY_SHAPES[entry.kind]);
  const name = h(entry.kind === "tool" ? "code" : "span", { class: "name" }, entry.title);
  const word = entry.kind === "tool" ? ENTRY_WORDS[entry.state] : "";
  const detail = [word, entry.detail].filter(Boolean).join(": ");
  return h("li", { "data-kind": entry.kind, "data-state": entry.state }, slot, h("span", {}, name, h("span", { class: "detail" }, detail)));
}
