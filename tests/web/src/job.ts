// What a client is asked to do, and what it says: one JSON object for each event, and one for the end.

/** `connect` is Connect-ES that speaks gRPC-Web, `connect-json` and `connect-proto` speak the Connect protocol. */
export const CLIENTS = [
  "connect", "connect-json", "connect-proto", "grpc-web", "grpc-web-text", "event-source", "event-source-polyfill",
  "websocket",
] as const;

export interface Job {
  url: string;
  client: (typeof CLIENTS)[number];
  /** Runs a task. */
  input?: string;
  labels?: Record<string, string>;
  /** Watches a task, after an event. */
  watch?: string;
  after?: number;
  /** Gets a task. */
  get?: string;
  timeoutMs?: number;
  /** Cancels the stream after as many events. */
  cancelAfter?: number;
  metadata?: Record<string, string>;
  /** What a WebSocket sends after its first message. */
  say?: string;
  /** Does the same as many times at once; each line then has its `stream`, counted from 0. */
  streams?: number;
  /** Goes on behind the last event when the stream is lost. An EventSource does so by itself. */
  resume?: boolean;
}

export interface Outcome {
  end: "ok" | "cancelled" | "error";
  code?: number;
  message?: string;
  reasons?: string[];
  headers?: Record<string, string>;
  trailers?: Record<string, string>;
  /** In a browser: what the responses came over, by its own account. */
  protocols?: string[];
  connections?: number;
}

export type Emit = (line: unknown) => void;
