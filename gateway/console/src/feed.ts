// The events of a task, each once and in order, over as many streams as it takes.
import { Code } from "@connectrpc/connect";
import type { TaskEvent } from "../generated/troupe/api/orchestrator/v1/event_pb.js";
import { Backoff, pause } from "./backoff.js";
import { type Orchestrator, type Problem, problemOf } from "./client.js";

/** Servers send a checkpoint every 15 s on a stream without events; one that is silent for longer is dead. */
const SILENCE_MS = 40_000;
/** How long events are handed on before the page may draw. */
const SLICE_MS = 8;

export type Connection =
  | { kind: "connecting" }
  | { kind: "live" }
  | { kind: "waiting"; until: number; problem: Problem }
  | { kind: "offline" }
  | { kind: "ended" }
  | { kind: "lost"; problem: Problem };

export interface Listener {
  event(event: TaskEvent): void;
  /** The history is told again from its first event. */
  restart(): void;
  ended(): boolean;
  connection(state: Connection): void;
}

export class Feed {
  private sequence = 0n;
  private stopped = false;
  private running = false;
  private call: AbortController | undefined;
  private wake: () => void = () => {};
  private readonly backoff = new Backoff();

  constructor(
    private readonly client: Orchestrator,
    private readonly taskId: string,
    private readonly listener: Listener,
  ) {}

  /** Reads until the task has ended; again when it was taken up again. */
  start(): void {
    if (this.running || this.stopped) return;
    this.running = true;
    addEventListener("online", this.hurry);
    addEventListener("offline", this.cut);
    document.addEventListener("visibilitychange", this.hurry);
    this.listener.connection({ kind: "connecting" });
    void this.read().finally(() => this.leave());
  }

  stop(): void {
    this.stopped = true;
    this.cut();
    this.wake();
  }

  /** Does not wait any longer. */
  readonly hurry = (): void => {
    if (navigator.onLine && !document.hidden) this.wake();
  };

  private readonly cut = (): void => this.call?.abort();

  private leave(): void {
    this.running = false;
    removeEventListener("online", this.hurry);
    removeEventListener("offline", this.cut);
    document.removeEventListener("visibilitychange", this.hurry);
  }

  private async read(): Promise<void> {
    while (!this.stopped) {
      const problem = await this.readOnce();
      if (this.stopped) return;
      if (problem === undefined) return this.listener.connection({ kind: "ended" });
      if (problem.code === Code.OutOfRange && this.sequence > 0n) {
        this.sequence = 0n;
        this.listener.restart();
      } else if (!problem.passing) {
        return this.listener.connection({ kind: "lost", problem });
      }
      await this.rest(problem);
    }
  }

  private async rest(problem: Problem): Promise<void> {
    const delay = this.backoff.next(problem.retryDelayMs);
    const offline = !navigator.onLine;
    this.listener.connection(offline ? { kind: "offline" } : { kind: "waiting", until: Date.now() + delay, problem });
    // A machine without a network is told when it has one; the long wait is for those that are told wrong.
    const { over, wake } = pause(offline ? 30_000 : delay);
    this.wake = wake;
    await over;
    if (!this.stopped) this.listener.connection({ kind: "connecting" });
  }

  /** Reads one stream; undefined when the task has ended. */
  private async readOnce(): Promise<Problem | undefined> {
    const call = (this.call = new AbortController());
    let silence = 0;
    const alive = (): void => {
      clearTimeout(silence);
      silence = setTimeout(() => call.abort(), SILENCE_MS);
    };
    alive();
    try {
      const request = { taskId: this.taskId, afterSequence: this.sequence };
      const onHeader = (): void => this.listener.connection({ kind: "live" });
      let sliceEnd = performance.now() + SLICE_MS;
      for await (const { events } of this.client.watchTask(request, { signal: call.signal, onHeader })) {
        if (this.stopped) return undefined;
        alive();
        this.backoff.reset();
        for (const event of events) this.hand(event);
        if (performance.now() > sliceEnd) {
          await nextTask();
          sliceEnd = performance.now() + SLICE_MS;
        }
      }
      return this.listener.ended() ? undefined : problemOf(new Error("the stream ended before the task did"));
    } catch (error) {
      return call.signal.aborted ? problemOf(new Error("the stream fell silent")) : problemOf(error);
    } finally {
      clearTimeout(silence);
      call.abort();
    }
  }

  private hand(event: TaskEvent): void {
    if (event.event.case === "checkpoint" || event.sequence <= this.sequence) return;
    if (event.sequence !== this.sequence + 1n) throw new Error(`event ${this.sequence + 1n} is missing`);
    this.sequence = event.sequence;
    this.listener.event(event);
  }
}

function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      channel.port1.close();
      resolve();
    };
    channel.port2.postMessage(null);
  });
}
