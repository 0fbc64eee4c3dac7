// One shape a state, so that none is told by its colour alone.
import { StepState, TaskState } from "../../generated/troupe/api/orchestrator/v1/task_pb.js";
import { svg } from "./dom.js";

const SHAPES = {
  waiting: ["M8 2.2a5.8 5.8 0 1 0 0 11.6a5.8 5.8 0 1 0 0-11.6"],
  ready: ["M8 2.2a5.8 5.8 0 1 0 0 11.6a5.8 5.8 0 1 0 0-11.6", "M8 7.9v.2"],
  running: ["M8 2.2a5.8 5.8 0 1 1-5.8 5.8"],
  retrying: ["M13.4 6.4A5.7 5.7 0 1 0 13.6 9", "M13.8 2.8v3.8h-3.8"],
  delegating: ["M3 8h3.2", "M6.2 8c2.6 0 1.6-4 4.4-4h2", "M6.2 8c2.6 0 1.6 4 4.4 4h2"],
  approval: ["M5.6 3v10", "M10.4 3v10"],
  completed: ["M3 8.6l3.4 3.4L13.2 4.6"],
  failed: ["M4 4l8 8", "M12 4l-8 8"],
  cancelled: ["M8 2.2a5.8 5.8 0 1 0 0 11.6a5.8 5.8 0 1 0 0-11.6", "M4.2 11.8l7.6-7.6"],
  skipped: ["M3 4l4.6 4L3 12", "M8.4 4l4.6 4l-4.6 4"],
  tool: ["M9.6 6.4L3.4 12.6", "M13.2 4.4a3.1 3.1 0 0 1-4.3 3.6a3.1 3.1 0 0 1 2.9-5.2L10 4.7l1.3 1.4z"],
  note: ["M3 5h10", "M3 8h10", "M3 11h6"],
  live: ["M8 6.4a1.6 1.6 0 1 0 0 3.2a1.6 1.6 0 1 0 0-3.2", "M4.4 4.2a5.4 5.4 0 0 0 0 7.6", "M11.6 4.2a5.4 5.4 0 0 1 0 7.6"],
  offline: ["M3 3l10 10", "M4.6 6.6a5.4 5.4 0 0 1 1.5-.9", "M9 5.4a5.4 5.4 0 0 1 2.6 1.4", "M8 11.4v.2"],
  plus: ["M8 3v10", "M3 8h10"],
  chevron: ["M6 3.6L10.4 8L6 12.4"],
  warning: ["M8 2.4l6 10.8H2z", "M8 6.4v3.2", "M8 11.3v.1"],
} as const;

export type Shape = keyof typeof SHAPES;

export function icon(shape: Shape): SVGElement {
  const paths = SHAPES[shape].map((d) => svg("path", { d }));
  return svg("svg", { viewBox: "0 0 16 16", class: `icon icon-${shape}`, "aria-hidden": "true" }, ...paths);
}

/** Puts another icon in place where the state has changed. */
export function setIcon(slot: HTMLElement, shape: Shape): void {
  if (slot.dataset.shape === shape) return;
  slot.dataset.shape = shape;
  slot.replaceChildren(icon(shape));
}

export const STEP_SHAPES: Record<StepState, Shape> = {
  [StepState.UNSPECIFIED]: "waiting",
  [StepState.PENDING]: "waiting",
  [StepState.READY]: "ready",
  [StepState.RUNNING]: "running",
  [StepState.RETRYING]: "retrying",
  [StepState.DELEGATING]: "delegating",
  [StepState.AWAITING_APPROVAL]: "approval",
  [StepState.COMPLETED]: "completed",
  [StepState.FAILED]: "failed",
  [StepState.CANCELLED]: "cancelled",
  [StepState.SKIPPED]: "skipped",
};

export const TASK_SHAPES: Record<TaskState, Shape> = {
  [TaskState.UNSPECIFIED]: "waiting",
  [TaskState.SUBMITTED]: "ready",
  [TaskState.RUNNING]: "running",
  [TaskState.CANCELLING]: "running",
  [TaskState.COMPLETED]: "completed",
  [TaskState.FAILED]: "failed",
  [TaskState.CANCELLED]: "cancelled",
};
