"""Agents' code under guard: whatever it does, its caller gets responses and then an end, or a reason."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing

from troupe.agent.executor import StepExecutor
from troupe.api.agent.v1.agent_service_pb2 import ExecuteRequest, ExecuteResponse
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError
from troupe.core.logs import get_logger

_LAST = ("output", "delegate")


async def guarded(
    executor: StepExecutor, step: ExecuteRequest, *, timeout_seconds: float | None
) -> AsyncGenerator[ExecuteResponse, None]:
    """What the executor says, up to its `output` or `delegate`.

    Raises:
        TroupeError: the executor's own; AGENT_FAILED for anything else that it raises, and when it ends without a
            result; DEADLINE_EXCEEDED.
    """
    ends = None if timeout_seconds is None else asyncio.get_running_loop().time() + timeout_seconds
    late = TroupeError(
        ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
        f"agent `{step.agent}` did not end within {timeout_seconds or 0:.1f} s",
    )
    async with aclosing(_begun(executor, step, timeout_seconds)) as responses:
        ended = False
        while not ended:
            response = await _next(responses, step, ends, late)
            ended = response.WhichOneof("event") in _LAST
            yield response


def _begun(
    executor: StepExecutor, step: ExecuteRequest, timeout_seconds: float | None
) -> AsyncGenerator[ExecuteResponse, None]:
    try:
        responses = executor.execute(step, timeout_seconds=timeout_seconds)
    except Exception as error:  # noqa: BLE001 - the edge, as below
        raise _defect(step, error) from None
    if isinstance(responses, AsyncGenerator):
        return responses
    if isinstance(responses, Coroutine):
        responses.close()
    raise _failed(f"`execute` of agent `{step.agent}` is no async generator: it must `yield` what it says")


async def _next(
    responses: AsyncGenerator[ExecuteResponse, None], step: ExecuteRequest, ends: float | None, late: TroupeError
) -> ExecuteResponse:
    deadline = asyncio.timeout_at(ends)
    try:
        async with deadline:
            response = await anext(responses)
    except TroupeError:
        raise
    except StopAsyncIteration:
        raise _failed(f"agent `{step.agent}` ended without an output") from None
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise _failed(f"agent `{step.agent}` cancelled itself") from None
    except Exception as error:  # noqa: BLE001 - the edge: a defect of an agent must not reach the caller as such
        if deadline.expired():
            raise late from None
        raise _defect(step, error) from None
    if isinstance(response, ExecuteResponse):
        return response
    raise _failed(f"agent `{step.agent}` yielded a {type(response).__name__}; it must yield `ExecuteResponse`s")


def _defect(step: ExecuteRequest, error: Exception) -> TroupeError:
    name = type(error).__name__
    get_logger().error("agent failed", error=name, exc_info=error)
    return _failed(f"agent `{step.agent}` failed with {name}; the log of its process says where")


def _failed(problem: str) -> TroupeError:
    return TroupeError(ErrorReason.ERROR_REASON_AGENT_FAILED, problem)
