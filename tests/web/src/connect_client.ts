// The job done with @connectrpc/connect-web.
import { createRegistry, toJson } from "@bufbuild/protobuf";
import { type CallOptions, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { ErrorInfoSchema } from "../generated/google/rpc/error_details_pb.js";
import { TaskEventSchema } from "../generated/troupe/api/orchestrator/v1/event_pb.js";
import { OrchestratorService } from "../generated/troupe/api/orchestrator/v1/orchestrator_service_pb.js";
import { TaskSchema } from "../generated/troupe/api/orchestrator/v1/task_pb.js";
import type { Emit, Job, Outcome } from "./job.js";

const registry = createRegistry(ErrorInfoSchema);

function transportOf({ client, url: baseUrl }: Job): Transport {
  if (client === "connect") return createGrpcWebTransport({ baseUrl });
  return createConnectTransport({ baseUrl, useBinaryFormat: client === "connect-proto" });
}

export async function connectClient(job: Job, emit: Emit): Promise<Outcome> {
  const client = createClient(OrchestratorService, transportOf(job));
  const abort = new AbortController();
  const outcome: Outcome = { end: "ok" };
  const options: CallOptions = {
    signal: abort.signal,
    timeoutMs: job.timeoutMs,
    headers: job.metadata,
    onHeader: (headers) => (outcome.headers = Object.fromEntries(headers)),
    onTrailer: (trailers) => (outcome.trailers = Object.fromEntries(trailers)),
  };
  try {
    if (job.get !== undefined) {
      const { task } = await client.getTask({ taskId: job.get }, options);
      if (task) emit(toJson(TaskSchema, task));
      return outcome;
    }
    const stream =
      job.watch !== undefined
        ? client.watchTask({ taskId: job.watch, afterSequence: BigInt(job.after ?? 0) }, options)
        : client.runTask({ task: { input: job.input ?? "", labels: job.labels ?? {} } }, options);
    let seen = 0;
    for await (const { events } of stream) {
      for (const event of events) {
        if (seen === job.cancelAfter) break;
        emit(toJson(TaskEventSchema, event, { registry }));
        if (++seen === job.cancelAfter) abort.abort();
      }
    }
    return outcome;
  } catch (error) {
    const problem = ConnectError.from(error);
    if (abort.signal.aborted) return { end: "cancelled" };
    const reasons = problem.findDetails(ErrorInfoSchema).map((info) => info.reason);
    return { ...outcome, end: "error", code: problem.code, message: problem.rawMessage, reasons };
  }
}
