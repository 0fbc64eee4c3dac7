"""A task's events as one stream, however often the connection is cut."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Protocol, cast

import grpc.aio

from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.client.cursor import Cursor, Place, is_terminal
from troupe.client.errors import from_call, is_cut, no_answer
from troupe.client.patience import Patience, Retries
from troupe.core.errors import TroupeError


class EventBatch(Protocol):
    """A message of either stream."""

    @property
    def events(self) -> Sequence[TaskEvent]:
        """At least one."""
        ...


EventCall = grpc.aio.UnaryStreamCall[Any, Any]
OpenStream = Callable[[Cursor], EventCall]
"""Opens a stream of the events after a cursor."""


class _SilentError(Exception):
    """A stream that does not say that it is alive."""


async def follow(
    open_stream: OpenStream, *, cursor: Cursor, target: str, patience: Patience, checkpoints: bool = False
) -> AsyncGenerator[TaskEvent]:
    """Yields each event after `cursor` once, in order, up to the terminal one that the history ends with.

    Raises:
        TroupeError: the server refused, or nobody answered for as long as `patience` allows.
    """
    retries = Retries(patience)
    ended = False
    while True:
        problem: TroupeError | None = None
        call = open_stream(cursor)
        try:
            async for event in _events(call, patience.silence_seconds):
                place = cursor.place(event)
                if place is Place.BEYOND_GAP:
                    break
                retries.progressed()
                if place is Place.NEXT:
                    cursor = cursor.after(event)
                    ended = is_terminal(event)
                if place is Place.NEXT or (checkpoints and place is Place.CHECKPOINT):
                    yield event
            else:
                if ended:  # a failed task that was taken up again goes on behind a terminal event
                    return
        except _SilentError:
            pass
        except grpc.aio.AioRpcError as error:
            problem = from_call(error, target)
            if not is_cut(problem):
                raise problem from None
        finally:
            call.cancel()
        await _wait(retries, problem or no_answer(target, "the stream ended before the task did"))


async def _events(call: EventCall, silence_seconds: float) -> AsyncGenerator[TaskEvent]:
    """The events of one call.

    Raises:
        _SilentError: nothing came for too long, not even a checkpoint.
    """
    while True:
        try:
            async with asyncio.timeout(silence_seconds):
                message = await call.read()
        except TimeoutError:
            raise _SilentError from None
        if message is grpc.aio.EOF:
            return
        for event in cast("EventBatch", message).events:
            yield event


async def _wait(retries: Retries, problem: TroupeError) -> None:
    asked = problem.retry_delay.total_seconds() if problem.retry_delay else 0
    delay = retries.next_delay_seconds(at_least=asked)
    if delay is None:
        raise problem
    await asyncio.sleep(delay)
