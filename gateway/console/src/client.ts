// The gateway that served this page, and its errors as people read them.
import { Code, ConnectError, createClient, type Client } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { ErrorInfoSchema, RetryInfoSchema } from "../generated/google/rpc/error_details_pb.js";
import { OrchestratorService } from "../generated/troupe/api/orchestrator/v1/orchestrator_service_pb.js";
import { milliseconds } from "./words.js";

export type Orchestrator = Client<typeof OrchestratorService>;

export const UNARY = { timeoutMs: 20_000 };

export function connect(): Orchestrator {
  return createClient(OrchestratorService, createGrpcWebTransport({ baseUrl: location.origin }));
}

export interface Problem {
  code: Code;
  /** A name of `ErrorReason` without its prefix; empty where no service answered. */
  reason: string;
  message: string;
  /** Whether the same call may succeed later. */
  passing: boolean;
  /** How long the server asked to wait. */
  retryDelayMs: number;
}

const PASSING = new Set([Code.Unavailable, Code.Unknown, Code.DeadlineExceeded, Code.Aborted, Code.Internal]);

export function problemOf(thrown: unknown): Problem {
  const error = ConnectError.from(thrown);
  const info = error.findDetails(ErrorInfoSchema)[0];
  const retry = error.findDetails(RetryInfoSchema)[0];
  return {
    code: error.code,
    reason: info?.reason ?? "",
    message: info ? error.rawMessage : `the gateway cannot be reached (${error.rawMessage})`,
    // Without a reason it was the network or something in between, which may be another the next time.
    passing: PASSING.has(error.code) && info?.reason !== "INTERNAL",
    retryDelayMs: milliseconds(retry?.retryDelay),
  };
}

/** An id for a request, so that sending it again does nothing twice. `crypto.randomUUID` is for secure pages only. */
export function newRequestId(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
