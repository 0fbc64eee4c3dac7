// Does a job with the client that it names.
import { Code } from "@connectrpc/connect";
import { connectClient } from "./connect_client.js";
import { grpcWebClient } from "./grpc_web_client.js";
import type { Emit, Job, Outcome } from "./job.js";
import { followEventSource, followPolyfill, followWebSocket } from "./plain_clients.js";

const RESUME_AFTER_MS = 100;
/** WebSocket's code for a server that failed. https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1 */
const INTERNAL_ERROR = 1011;

export function perform(job: Job, emit: Emit): Promise<Outcome> {
  if (job.streams !== undefined) return performAtOnce(job, job.streams, emit);
  return job.resume ? performToTheEnd(job, emit) : performOnce(job, emit);
}

async function performAtOnce(job: Job, count: number, emit: Emit): Promise<Outcome> {
  const one = (_: unknown, stream: number): Promise<Outcome> =>
    perform({ ...job, streams: undefined }, (line) => emit({ stream, ...(line as object) }));
  const outcomes = await Promise.all(Array.from({ length: count }, one));
  return outcomes.find(({ end }) => end !== "ok") ?? { end: "ok" };
}

async function performToTheEnd(job: Job, emit: Emit): Promise<Outcome> {
  let { after } = job;
  for (;;) {
    const outcome = await performOnce({ ...job, after }, (line) => {
      after = Number((line as { sequence?: string | number }).sequence ?? after);
      emit(line);
    });
    if (outcome.code !== Code.Unavailable && outcome.code !== INTERNAL_ERROR) return outcome;
    await new Promise((resolve) => setTimeout(resolve, RESUME_AFTER_MS));
  }
}

function performOnce(job: Job, emit: Emit): Promise<Outcome> {
  switch (job.client) {
    case "connect":
    case "connect-json":
    case "connect-proto":
      return connectClient(job, emit);
    case "event-source":
      return followEventSource(job, emit);
    case "event-source-polyfill":
      return followPolyfill(job, emit);
    case "websocket":
      return followWebSocket(job, emit);
    default:
      return grpcWebClient(job, emit);
  }
}
