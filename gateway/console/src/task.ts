// A task as its events tell it. Pure: no page, no clock.
import type { Citation } from "../generated/troupe/api/common/v1/content_pb.js";
import type { Error as Failure } from "../generated/troupe/api/common/v1/error_pb.js";
import type { Step } from "../generated/troupe/api/common/v1/step_pb.js";
import { ApprovalDecision, type TaskEvent } from "../generated/troupe/api/orchestrator/v1/event_pb.js";
import { Planner, StepState, type TaskMetrics, TaskState } from "../generated/troupe/api/orchestrator/v1/task_pb.js";
import { duration, milliseconds } from "./words.js";

/** A line of what a step did. */
export interface Entry {
  kind: "progress" | "tool" | "failure" | "decision";
  /** Pairs the end of a tool's call with its start. */
  key: string;
  title: string;
  detail: string;
  state: "open" | "done" | "failed";
}

export interface StepModel {
  id: string;
  agent: string;
  title: string;
  instruction: string;
  dependsOn: string[];
  /** The step that delegated it. */
  parent: string;
  state: StepState;
  attempt: number;
  message: string;
  fraction: number | undefined;
  text: string;
  citations: Citation[];
  passages: number;
  entries: Entry[];
  /** Entries that were dropped since there were too many. */
  dropped: number;
  failure: Failure | undefined;
  startedAt: number;
  tookMs: number | undefined;
}

const ENDED = new Set([TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED]);
const MOST_ENTRIES = 200;
const OPEN = new Set([
  StepState.PENDING,
  StepState.READY,
  StepState.RUNNING,
  StepState.RETRYING,
  StepState.DELEGATING,
  StepState.AWAITING_APPROVAL,
]);
const AT_WORK = new Set([StepState.RUNNING, StepState.RETRYING, StepState.DELEGATING]);

export class TaskModel {
  input = "";
  state = TaskState.UNSPECIFIED;
  planner = Planner.UNSPECIFIED;
  rationale = "";
  readonly steps = new Map<string, StepModel>();
  submittedAt = 0;
  /** The newest time that the server told. */
  lastAt = 0;
  report = "";
  reportIsPartial = false;
  citations: Citation[] = [];
  failure: Failure | undefined;
  failedStep = "";
  cancelReason = "";
  metrics: TaskMetrics | undefined;
  inputTokens = 0n;
  outputTokens = 0n;
  costMicros = 0n;
  events = 0;
  /** Steps that changed since the page was drawn. */
  readonly changed = new Set<StepModel>();
  /** Whether steps or dependencies were added since then. */
  grown = false;

  constructor(readonly id: string) {}

  get ended(): boolean {
    return ENDED.has(this.state);
  }

  /** The step whose output becomes the report: the last one that no other waits for. */
  get reporter(): StepModel | undefined {
    const waitedFor = new Set([...this.steps.values()].flatMap((step) => step.dependsOn));
    return [...this.steps.values()].filter((step) => !waitedFor.has(step.id) && step.parent === "").at(-1);
  }

  apply({ event, eventTime }: TaskEvent): void {
    const at = milliseconds(eventTime);
    this.lastAt = Math.max(this.lastAt, at);
    this.events += 1;
    switch (event.case) {
      case "taskSubmitted":
        this.input = event.value.spec?.input ?? "";
        this.state = TaskState.SUBMITTED;
        this.submittedAt = at;
        break;
      case "taskPlanned":
        this.planner = event.value.plan?.planner ?? Planner.UNSPECIFIED;
        this.rationale = event.value.plan?.rationale ?? "";
        this.add(event.value.plan?.steps ?? [], "");
        break;
      case "stepsAdded":
        this.step(event.value.parentStepId).state = StepState.DELEGATING;
        this.add(event.value.steps, event.value.parentStepId);
        break;
      case "stepStarted": {
        const step = this.step(event.value.stepId);
        if (event.value.agent) step.agent = event.value.agent;
        Object.assign(step, { state: StepState.RUNNING, attempt: event.value.attempt, startedAt: at, text: "" });
        Object.assign(step, { message: "", fraction: undefined, failure: undefined, tookMs: undefined });
        this.state = TaskState.RUNNING;
        break;
      }
      case "stepProgress": {
        const step = this.step(event.value.stepId, event.value.attempt);
        step.message = event.value.message;
        step.fraction = event.value.fraction;
        this.log(step, { kind: "progress", key: "", title: event.value.message, detail: "", state: "done" });
        break;
      }
      case "textDelta":
        this.step(event.value.stepId, event.value.attempt).text += event.value.text;
        break;
      case "toolStarted": {
        const { stepId, attempt, callId, tool, arguments: given } = event.value;
        const detail = given && Object.keys(given).length > 0 ? JSON.stringify(given) : "";
        this.log(this.step(stepId, attempt), { kind: "tool", key: `${attempt}/${callId}`, title: tool, detail, state: "open" });
        break;
      }
      case "toolFinished": {
        const { stepId, attempt, callId, tool, error, summary, duration: took } = event.value;
        const step = this.step(stepId, attempt);
        const key = `${attempt}/${callId}`;
        const place = step.entries.findLastIndex((entry) => entry.key === key);
        const told = [error ? error.message : summary, took ? duration(milliseconds(took)) : ""].filter(Boolean).join(" · ");
        const before = step.entries[place]?.detail ?? "";
        const entry: Entry = { kind: "tool", key, title: tool, detail: told || before, state: error ? "failed" : "done" };
        if (place < 0) this.log(step, entry);
        else step.entries[place] = entry;
        break;
      }
      case "usageReported":
        this.step(event.value.stepId);
        this.inputTokens += event.value.usage?.inputTokens ?? 0n;
        this.outputTokens += event.value.usage?.outputTokens ?? 0n;
        this.costMicros += event.value.usage?.costUsdMicros ?? 0n;
        break;
      case "approvalRequested": {
        const step = this.step(event.value.stepId);
        step.state = StepState.AWAITING_APPROVAL;
        step.message = event.value.summary;
        break;
      }
      case "approvalResolved": {
        const { stepId, decision, comment, decidedBy } = event.value;
        const step = this.step(stepId);
        const approved = decision === ApprovalDecision.APPROVE;
        if (approved) step.state = StepState.READY;
        step.message = "";
        const title = `${approved ? "Approved" : "Rejected"}${decidedBy ? ` by ${decidedBy}` : ""}`;
        this.log(step, { kind: "decision", key: "", title, detail: comment, state: approved ? "done" : "failed" });
        break;
      }
      case "stepCompleted": {
        const { stepId, attempt, output, executionTime } = event.value;
        const step = this.step(stepId);
        const tookMs = executionTime ? milliseconds(executionTime) : Math.max(0, at - step.startedAt);
        Object.assign(step, { state: StepState.COMPLETED, attempt, tookMs, message: "", fraction: undefined });
        step.text = output?.text || step.text;
        step.citations = output?.citations ?? [];
        step.passages = output?.passages.length ?? 0;
        step.failure = undefined;
        break;
      }
      case "stepFailed": {
        const { stepId, attempt, error, willRetry, retryDelay } = event.value;
        const step = this.step(stepId);
        step.state = willRetry ? StepState.RETRYING : StepState.FAILED;
        step.failure = error;
        step.message = "";
        step.fraction = undefined;
        if (!willRetry && step.startedAt) step.tookMs = Math.max(0, at - step.startedAt);
        const next = willRetry ? ` – tried again${retryDelay ? ` after ${duration(milliseconds(retryDelay))}` : ""}` : "";
        const title = attempt ? `Attempt ${attempt} failed${next}` : "Failed";
        this.log(step, { kind: "failure", key: "", title, detail: error?.message ?? "", state: "failed" });
        break;
      }
      case "taskCompleted":
        this.state = TaskState.COMPLETED;
        this.report = event.value.output?.text ?? "";
        this.reportIsPartial = false;
        this.citations = event.value.output?.citations ?? [];
        this.metrics = event.value.metrics;
        break;
      case "taskFailed":
        this.state = TaskState.FAILED;
        this.failure = event.value.error;
        this.failedStep = event.value.stepId;
        this.report = event.value.partialOutput?.text ?? "";
        this.citations = event.value.partialOutput?.citations ?? [];
        this.reportIsPartial = true;
        this.metrics = event.value.metrics;
        this.endOpenSteps();
        break;
      case "taskCancelled":
        this.state = TaskState.CANCELLED;
        this.cancelReason = event.value.reason;
        this.metrics = event.value.metrics;
        this.endOpenSteps();
        break;
      case "taskRetried":
        this.state = TaskState.RUNNING;
        Object.assign(this, { failure: undefined, failedStep: "", metrics: undefined, report: "", citations: [] });
        this.reportIsPartial = false;
        for (const id of event.value.stepIds) {
          Object.assign(this.step(id), { state: StepState.PENDING, failure: undefined, tookMs: undefined, text: "" });
        }
        break;
    }
  }

  /** The step, marked as changed; a detached one where the event is of an attempt that counts no more. */
  private step(id: string, attempt?: number): StepModel {
    let step = this.steps.get(id);
    if (step === undefined) {
      step = newStep(id);
      this.steps.set(id, step);
      this.grown = true;
    }
    if (attempt !== undefined && attempt !== step.attempt) return newStep(id);
    this.changed.add(step);
    return step;
  }

  private add(steps: Step[], parent: string): void {
    for (const { stepId, agent, title, instruction, dependsOn } of steps) {
      Object.assign(this.step(stepId), { agent, title: title || stepId, instruction, dependsOn, parent });
    }
    this.grown = true;
  }

  private log(step: StepModel, entry: Entry): void {
    const last = step.entries.at(-1);
    if (entry.kind === "progress" && last?.kind === "progress" && last.title === entry.title) return;
    step.entries.push(entry);
    if (step.entries.length > MOST_ENTRIES) {
      step.dropped += step.entries.splice(0, MOST_ENTRIES / 4).length;
    }
  }

  /** Steps that had not ended when the task did: those that ran were cancelled, the others skipped. */
  private endOpenSteps(): void {
    for (const step of this.steps.values()) {
      if (!OPEN.has(step.state)) continue;
      step.state = AT_WORK.has(step.state) ? StepState.CANCELLED : StepState.SKIPPED;
      this.changed.add(step);
    }
  }
}

function newStep(id: string): StepModel {
  return {
    id,
    agent: "",
    title: id,
    instruction: "",
    dependsOn: [],
    parent: "",
    state: StepState.PENDING,
    attempt: 0,
    message: "",
    fraction: undefined,
    text: "",
    citations: [],
    passages: 0,
    entries: [],
    dropped: 0,
    failure: undefined,
    startedAt: 0,
    tookMs: undefined,
  };
}

/** Steps by how many stand before them on the longest way. */
export function layers(steps: ReadonlyMap<string, StepModel>): StepModel[][] {
  const depth = new Map<string, number>();
  const result: StepModel[][] = [];
  for (const step of steps.values()) {
    // Each step stands behind what it depends on, and behind the one that delegated it.
    const before = [...step.dependsOn, step.parent].map((id) => depth.get(id) ?? -1);
    const own = Math.max(-1, ...before) + 1;
    depth.set(step.id, own);
    (result[own] ??= []).push(step);
  }
  return result;
}
