"""A small gRPC server of the orchestrator's contract, for tests of what stands in front of it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from troupe.api.orchestrator.v1 import event_pb2, task_pb2
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]

INITIAL_METADATA = (("x-greeting", "hello"), ("x-raw-bin", b"\x00\xff\x10"))
TRAILING_METADATA = (("x-farewell", "bye"), ("x-tail-bin", b"\xfe\x01"))
FAILURE = 'no task "ü%": look again'


@dataclass
class Echo:
    """Answers by what the request says, and keeps what it saw.

    `RunTask` streams as many events as `input` says, each with `label["pad"]` bytes of text, and waits for
    `release` before the last when `label["hold"]` is set; `sent` counts by `label["name"]`.
    `WatchTask` replays ten events. `GetTask` fails for
    `missing`, `slow` waits for ever.
    """

    release: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    sent: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, str | bytes] = field(default_factory=dict)
    time_remaining: float | None = None

    def _note(self, context: Context) -> None:
        self.metadata = {str(key): value for key, value in context.invocation_metadata() or ()}
        self.time_remaining = context.time_remaining()
        self.started.set()

    async def RunTask(self, request: pb.RunTaskRequest, context: Context) -> AsyncIterator[pb.RunTaskResponse]:
        self._note(context)
        await context.send_initial_metadata(INITIAL_METADATA)
        count, labels = int(request.task.input), request.task.labels
        ended = False
        text = "x" * int(labels.get("pad", "0"))
        try:
            for sequence in range(1, count + 1):
                if sequence == count and "hold" in labels:
                    await self.release.wait()
                delta = event_pb2.TextDelta(step_id="s", attempt=1, text=text)
                event = event_pb2.TaskEvent(task_id="t", sequence=sequence, text_delta=delta)
                yield pb.RunTaskResponse(events=[event])
                self.sent[labels.get("name", "")] = sequence
            context.set_trailing_metadata(TRAILING_METADATA)
            ended = True
        finally:  # a call that is cancelled while it sends only closes the generator
            if not ended:
                self.cancelled.set()

    async def WatchTask(self, request: pb.WatchTaskRequest, context: Context) -> AsyncIterator[pb.WatchTaskResponse]:
        self._note(context)
        for sequence in range(request.after_sequence + 1, 11):
            yield pb.WatchTaskResponse(events=[event_pb2.TaskEvent(task_id=request.task_id, sequence=sequence)])

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.GetTaskResponse:
        self._note(context)
        if request.task_id == "missing":
            await context.abort_with_status(rpc_status.to_status(_failure()))
        if request.task_id == "slow":
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        context.set_trailing_metadata(TRAILING_METADATA)
        return pb.GetTaskResponse(task=task_pb2.Task(task_id=request.task_id))

    async def SubmitTask(self, request: pb.SubmitTaskRequest, context: Context) -> pb.SubmitTaskResponse:
        self._note(context)
        return pb.SubmitTaskResponse(task=task_pb2.Task(task_id=str(len(request.task.input))))


@asynccontextmanager
async def serving_echo(
    echo: Echo,
    address: str = "127.0.0.1:0",
    *,
    grace_seconds: float = 0,
    servicer: health.aio.HealthServicer | None = None,
    compression: grpc.Compression | None = None,
    options: Sequence[tuple[str, int]] = (),
) -> AsyncIterator[str]:
    """Serves inside the block; yields the address. `compression` is for clients that accept it."""
    own = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 64 << 20)]
    server = grpc.aio.server(options=[*own, *options], compression=compression)
    server.add_generic_rpc_handlers([_handler(echo)])
    servicer = servicer or health.aio.HealthServicer()
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(grace_seconds)


def _handler(echo: Echo) -> grpc.GenericRpcHandler:
    """Serves what `Echo` has of the service; the rest is UNIMPLEMENTED."""
    service = pb.DESCRIPTOR.services_by_name["OrchestratorService"]
    handlers = {}
    for method in service.methods:
        behaviour = getattr(echo, method.name, None)
        if behaviour is None:
            continue
        input_type, output_type = getattr(pb, method.input_type.name), getattr(pb, method.output_type.name)
        kind = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        handlers[method.name] = kind(
            behaviour, request_deserializer=input_type.FromString, response_serializer=output_type.SerializeToString
        )
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


def _failure() -> status_pb2.Status:
    status = status_pb2.Status(code=grpc.StatusCode.NOT_FOUND.value[0], message=FAILURE)
    detail: Message = error_details_pb2.ErrorInfo(reason="TASK_NOT_FOUND", domain="troupe")
    status.details.add().Pack(detail)
    return status


async def main() -> None:
    """Serves until it is killed, on the port that the first argument names."""
    async with serving_echo(Echo(), f"127.0.0.1:{sys.argv[1]}"):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
