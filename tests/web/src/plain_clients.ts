// The job done with what every browser has: EventSource and WebSocket.
import type { Emit, Job, Outcome } from "./job.js";

const EVENTS = [
  "task_submitted", "task_planned", "step_started", "step_progress", "text_delta", "tool_started", "tool_finished",
  "usage_reported", "steps_added", "approval_requested", "approval_resolved", "step_completed", "step_failed",
  "task_completed", "task_failed", "task_cancelled", "task_retried",
];

export function followEventSource(job: Job, emit: Emit): Promise<Outcome> {
  const source = new EventSource(`${job.url}/stream/${job.watch}${query(job)}`);
  for (const name of EVENTS) {
    source.addEventListener(name, ({ data, lastEventId }) => emit({ event: name, id: lastEventId, data: JSON.parse(data) }));
  }
  return new Promise((resolve) => {
    // It connects again by itself until the gateway says that there is no more.
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) resolve({ end: "ok" });
    };
  });
}

export function followWebSocket(job: Job, emit: Emit): Promise<Outcome> {
  const socket = new WebSocket(`${job.url.replace(/^http/, "ws")}/ws/${job.watch}${query(job)}`);
  let said = job.say === undefined;
  socket.onmessage = ({ data }) => {
    emit(JSON.parse(data as string));
    if (!said) socket.send(job.say ?? "");
    said = true;
  };
  return new Promise((resolve) => {
    socket.onclose = ({ code, reason, wasClean }) =>
      resolve({ end: wasClean ? "ok" : "error", code, message: reason });
  });
}

function query(job: Job): string {
  return job.after === undefined ? "" : `?after_sequence=${job.after}`;
}
