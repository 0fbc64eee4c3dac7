// The job done with Google's grpc-web; messages by protobuf-es, since its own generator is no npm package.
import { create, type DescMessage, fromBinary, type MessageInitShape, type MessageShape, toBinary, toJson } from "@bufbuild/protobuf";
import { type ClientReadableStream, GrpcWebClientBase, MethodDescriptor, MethodType, type RpcError, type Status } from "grpc-web";
import { TaskEventSchema } from "../generated/troupe/api/orchestrator/v1/event_pb.js";
import * as pb from "../generated/troupe/api/orchestrator/v1/orchestrator_service_pb.js";
import { TaskSchema } from "../generated/troupe/api/orchestrator/v1/task_pb.js";
import type { Emit, Job, Outcome } from "./job.js";

const SERVICE = "/troupe.api.orchestrator.v1.OrchestratorService/";

function describe<I extends DescMessage, O extends DescMessage>(name: string, type: string, input: I, output: O) {
  return new MethodDescriptor<MessageShape<I>, MessageShape<O>>(
    SERVICE + name,
    type,
    Object as never,
    Object as never,
    (request: MessageShape<I>) => toBinary(input, request),
    (bytes: Uint8Array) => fromBinary(output, bytes),
  );
}

const getTask = describe("GetTask", MethodType.UNARY, pb.GetTaskRequestSchema, pb.GetTaskResponseSchema);
const runTask = describe("RunTask", MethodType.SERVER_STREAMING, pb.RunTaskRequestSchema, pb.RunTaskResponseSchema);
const watchTask = describe("WatchTask", MethodType.SERVER_STREAMING, pb.WatchTaskRequestSchema, pb.WatchTaskResponseSchema);

export async function grpcWebClient(job: Job, emit: Emit): Promise<Outcome> {
  const client = new GrpcWebClientBase({ format: job.client === "grpc-web" ? "binary" : "text" });
  const metadata: Record<string, string> = { ...job.metadata };
  if (job.timeoutMs !== undefined) metadata.deadline = String(Date.now() + job.timeoutMs);
  if (job.get !== undefined) {
    try {
      const request = create(pb.GetTaskRequestSchema, { taskId: job.get });
      const response = await client.unaryCall(job.url + SERVICE + "GetTask", request, metadata, getTask);
      if (response.task) emit(toJson(TaskSchema, response.task));
      return { end: "ok" };
    } catch (error) {
      return failed(error as RpcError);
    }
  }
  const stream = openStream(client, job, metadata);
  return await follow(stream, job, emit);
}

interface Events {
  events: MessageShape<typeof TaskEventSchema>[];
}

function openStream(client: GrpcWebClientBase, job: Job, metadata: Record<string, string>): ClientReadableStream<Events> {
  if (job.watch !== undefined) {
    const request = create(pb.WatchTaskRequestSchema, { taskId: job.watch, afterSequence: BigInt(job.after ?? 0) });
    return client.serverStreaming(job.url + SERVICE + "WatchTask", request, metadata, watchTask);
  }
  const task: MessageInitShape<typeof pb.RunTaskRequestSchema>["task"] = { input: job.input ?? "", labels: job.labels ?? {} };
  return client.serverStreaming(job.url + SERVICE + "RunTask", create(pb.RunTaskRequestSchema, { task }), metadata, runTask);
}

function follow(stream: ClientReadableStream<Events>, job: Job, emit: Emit): Promise<Outcome> {
  const outcome: Outcome = { end: "ok" };
  let seen = 0;
  return new Promise((resolve) => {
    stream.on("metadata", (headers) => (outcome.headers = headers));
    stream.on("status", (status: Status) => (outcome.trailers = status.metadata));
    stream.on("data", ({ events }) => {
      for (const event of events) {
        if (seen === job.cancelAfter) return;
        emit(toJson(TaskEventSchema, event));
        if (++seen === job.cancelAfter) {
          stream.cancel();
          resolve({ end: "cancelled" });
        }
      }
    });
    stream.on("error", (error) => resolve(failed(error)));
    stream.on("end", () => resolve(outcome));
  });
}

function failed(error: RpcError): Outcome {
  return { end: "error", code: error.code, message: error.message };
}
