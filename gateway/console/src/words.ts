// Figures, states and reasons in words.
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import { type Error as Failure, ErrorReason } from "../generated/troupe/api/common/v1/error_pb.js";
import { Planner, StepState, TaskState } from "../generated/troupe/api/orchestrator/v1/task_pb.js";

export const TASK_STATES: Record<TaskState, string> = {
  [TaskState.UNSPECIFIED]: "starting",
  [TaskState.SUBMITTED]: "submitted",
  [TaskState.RUNNING]: "running",
  [TaskState.CANCELLING]: "cancelling",
  [TaskState.COMPLETED]: "completed",
  [TaskState.FAILED]: "failed",
  [TaskState.CANCELLED]: "cancelled",
};

export const STEP_STATES: Record<StepState, string> = {
  [StepState.UNSPECIFIED]: "waiting",
  [StepState.PENDING]: "waiting",
  [StepState.READY]: "ready",
  [StepState.RUNNING]: "running",
  [StepState.RETRYING]: "retrying",
  [StepState.DELEGATING]: "delegating",
  [StepState.AWAITING_APPROVAL]: "needs approval",
  [StepState.COMPLETED]: "completed",
  [StepState.FAILED]: "failed",
  [StepState.CANCELLED]: "cancelled",
  [StepState.SKIPPED]: "skipped",
};

export const PLANNERS: Record<Planner, string> = {
  [Planner.UNSPECIFIED]: "",
  [Planner.CALLER]: "given with the task",
  [Planner.RULES]: "planned by rules",
  [Planner.MODEL]: "planned by a model",
};

const ADVICE: Partial<Record<ErrorReason, string>> = {
  [ErrorReason.INVALID_REQUEST]: "Change the request and run it again.",
  [ErrorReason.INVALID_PLAN]: "Change the plan: each step may only depend on steps of the same plan, without a circle.",
  [ErrorReason.UNKNOWN_AGENT]: "Start the agent, or name one that `troupe agents` lists.",
  [ErrorReason.TASK_NOT_FOUND]: "It may have been kept long enough and removed. Run it again.",
  [ErrorReason.MESSAGE_TOO_LARGE]: "Make it smaller.",
  [ErrorReason.QUOTA_EXCEEDED]: "Too much runs at once. Wait a moment, then try again.",
  [ErrorReason.BUDGET_EXCEEDED]: "Run it again with a larger budget, or ask for less.",
  [ErrorReason.STORE_UNAVAILABLE]: "Redis cannot be reached. Start it; nothing that was accepted is lost.",
  [ErrorReason.AGENT_UNAVAILABLE]: "Start the agent's process, then try again.",
  [ErrorReason.MODEL_UNAVAILABLE]: "Start the model's server or check its key, then try again.",
  [ErrorReason.MEMORY_UNAVAILABLE]: "Start Milvus, then try again.",
  [ErrorReason.SERVER_DRAINING]: "The server restarts; this page goes on by itself.",
  [ErrorReason.DEADLINE_EXCEEDED]: "It took too long. Try again, or give it more time.",
  [ErrorReason.MODEL_NOT_FOUND]: "Name a model that the inference service lists.",
  [ErrorReason.MODEL_REFUSED]: "The model does not take this request. Word it differently.",
  [ErrorReason.AGENT_FAILED]: "The agent's own code failed; its log has the details under the task's id.",
  [ErrorReason.DEPENDENCY_FAILED]: "Look at the step that it depends on.",
  [ErrorReason.LEASE_EXPIRED]: "Its worker died or stalled. Another one takes it up.",
  [ErrorReason.APPROVAL_REJECTED]: "A person rejected it. Change the request and run it again.",
  [ErrorReason.NOT_IMPLEMENTED]: "This server cannot do that.",
  [ErrorReason.INTERNAL]: "This is a defect; the log of the process has the details.",
  [ErrorReason.BACKEND_UNAVAILABLE]: "The orchestrator cannot be reached. This page tries again by itself.",
};

/** The reason of a failure as a word: `MODEL_UNAVAILABLE`. */
export function reasonName(failure: Failure): string {
  return failure.reason === ErrorReason.UNSPECIFIED ? "" : (ErrorReason[failure.reason] ?? `REASON_${failure.reason}`);
}

/** What to do about a failure; empty where nothing general can be said. */
export function advice(reason: ErrorReason | string): string {
  const known = typeof reason === "string" ? ErrorReason[reason as keyof typeof ErrorReason] : reason;
  return ADVICE[known] ?? "";
}

export function milliseconds(time: Duration | Timestamp | undefined): number {
  return time === undefined ? 0 : Number(time.seconds) * 1000 + time.nanos / 1e6;
}

/** `42 ms`, `3.2 s`, `4 min 05 s`, `2 h 07 min`. */
export function duration(ms: number): string {
  if (ms < 99.5) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  return longDuration(ms);
}

/** The same in whole seconds, for what is still counting. */
export function counting(ms: number): string {
  return ms < 60_000 ? `${Math.max(0, Math.floor(ms / 1000))} s` : longDuration(ms);
}

function longDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  const two = (figure: number): string => String(figure).padStart(2, "0");
  return minutes < 60 ? `${minutes} min ${two(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

/** `just now`, `5 min ago`, `14:03`, `3 Nov`. */
export function ago(then: number, now: number): string {
  const minutes = Math.floor((now - then) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  const date = new Date(then);
  if (date.toDateString() === new Date(now).toDateString()) return clock(then);
  return date.toLocaleDateString("en", { day: "numeric", month: "short" });
}

export function clock(at: number): string {
  return new Date(at).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

export function plural(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** Millionths of a dollar as `$0.0123`. */
export function money(micros: bigint): string {
  return `$${(Number(micros) / 1e6).toFixed(micros < 1_000_000n ? 4 : 2)}`;
}
