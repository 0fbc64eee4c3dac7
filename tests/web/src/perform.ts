// Does a job with the client that it names.
import { connectClient } from "./connect_client.js";
import { grpcWebClient } from "./grpc_web_client.js";
import type { Emit, Job, Outcome } from "./job.js";
import { followEventSource, followWebSocket } from "./plain_clients.js";

export function perform(job: Job, emit: Emit): Promise<Outcome> {
  switch (job.client) {
    case "connect":
    case "connect-json":
    case "connect-proto":
      return connectClient(job, emit);
    case "event-source":
      return followEventSource(job, emit);
    case "websocket":
      return followWebSocket(job, emit);
    default:
      return grpcWebClient(job, emit);
  }
}
