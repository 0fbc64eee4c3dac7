// Does a job with the client that it names.
import { connectClient } from "./connect_client.js";
import { grpcWebClient } from "./grpc_web_client.js";
import type { Emit, Job, Outcome } from "./job.js";

export function perform(job: Job, emit: Emit): Promise<Outcome> {
  return job.client.startsWith("connect") ? connectClient(job, emit) : grpcWebClient(job, emit);
}
