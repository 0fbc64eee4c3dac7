// The job done with what every browser has: EventSource and WebSocket; or with what stands in for the first elsewhere.
import { EventSourcePolyfill } from "event-source-polyfill";
import type { Emit, Job, Outcome } from "./job.js";

const EVENTS = [
  "task_submitted", "task_planned", "step_started", "step_progress", "text_delta", "tool_started", "tool_finished",
  "usage_reported", "steps_added", "approval_requested", "approval_resolved", "step_completed", "step_failed",
  "task_completed", "task_failed", "task_cancelled", "task_retried",
];

export function followEventSource(job: Job, emit: Emit): Promise<Outcome> {
  return follow(new EventSource(`${job.url}/stream/${job.watch}${query(job)}`), emit);
}

/**
 * Scripts cannot set `Last-Event-ID` for another origin without asking first, so it says `?lastEventId=`. A 204 does not
 * stop it, since it reads the body that such an answer has not: who uses it closes it behind the terminal event.
 */
export function followPolyfill(job: Job, emit: Emit): Promise<Outcome> {
  const source = new EventSourcePolyfill(`${job.url}/stream/${job.watch}${query(job)}`);
  void follow(source, emit);
  return new Promise((resolve) => {
    source.addEventListener("task_completed", () => {
      source.close();
      resolve({ end: "ok" });
    });
  });
}

function follow(source: EventSource, emit: Emit): Promise<Outcome> {
  for (const name of EVENTS) {
    source.addEventListener(name, ({ data, lastEventId }) => emit({ event: name, id: lastEventId, data: JSON.parse(data) }));
  }
  return new Promise((resolve) => {
    // It connects again by itself until the gateway says that there is no more.
    source.onerror = () => {
      if (source.readyState === source.CLOSED) resolve({ end: "ok" });
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
