"""Runs one attempt of a step: starts it, calls the agent, records the end."""

import asyncio
import random
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import grpc
import grpc.aio

from orchestrator.directory import AgentDirectory, AgentServer
from orchestrator.domain.retry import Failure, RetryPolicy, retry_delay_ms
from orchestrator.store.attempts import Assignment, Attempt, AttemptStore
from orchestrator.worker import events
from orchestrator.worker.leases import AttemptLostError
from orchestrator.worker.patience import persistently
from orchestrator.worker.receipts import Receipt
from orchestrator.worker.recorder import Recorder, too_large
from troupe.api.agent.v1.agent_service_pb2 import DependencyOutput, ExecuteRequest, RemainingBudget
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1.task_pb2 import TaskOutput, TaskSpec
from troupe.core.errors import TroupeError
from troupe.core.logs import get_logger

# An output stands in one event, and clients with gRPC's default limits take messages of 4 MiB.
_OUTPUT_BYTES: Final = 2 << 20


@dataclass(frozen=True, slots=True)
class Defaults:
    """What steps leave open."""

    retry: RetryPolicy
    step_timeout: timedelta
    coalesce_seconds: float


class AttemptRunner:
    """Runs attempts on the servers of a directory."""

    def __init__(self, *, store: AttemptStore, directory: AgentDirectory, defaults: Defaults) -> None:
        self._store = store
        self._directory = directory
        self._defaults = defaults

    async def run(self, attempt: Attempt, assignment: Assignment, *, receipt: Receipt) -> None:
        """Executes a started attempt and records its end; with the last of a message, that is acknowledged.

        Raises:
            AttemptLostError: the attempt counts no more; nothing was recorded.
        """
        step = Step.FromString(assignment.step)
        began = time.monotonic()
        try:
            output = await self._execute(attempt, step, assignment)
        except TroupeError as error:
            await self._fail(attempt, step, error, receipt.take())
            get_logger().warning("step attempt failed", reason=error.reason_name, problem=error.message)
        else:
            await self._complete(attempt, assignment, output, time.monotonic() - began, receipt.take())
            get_logger().info("step completed", elapsed_ms=round((time.monotonic() - began) * 1000, 1))

    async def _execute(self, attempt: Attempt, step: Step, assignment: Assignment) -> StepOutput:
        server = self._directory.serving(attempt.agent)
        if server is None:
            raise TroupeError(
                ErrorReason.ERROR_REASON_AGENT_UNAVAILABLE, f"no server of agent `{attempt.agent}` answers now"
            )
        request = _request(attempt, step, assignment)
        recorder = Recorder(store=self._store, attempt=attempt, coalesce_seconds=self._defaults.coalesce_seconds)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(recorder.run())
                timeout = self._timeout(step, assignment)
                call = group.create_task(self._call(server, request, timeout, attempt, recorder))
        except* AttemptLostError:
            raise AttemptLostError from None
        except* TroupeError as errors:
            raise errors.exceptions[0] from None
        return call.result()

    async def _call(
        self, server: AgentServer, request: ExecuteRequest, timeout: float, attempt: Attempt, recorder: Recorder
    ) -> StepOutput:
        call = server.stub.Execute(request, timeout=timeout)
        try:
            async for response in call:
                match response.WhichOneof("event"):
                    case "output":
                        if (size := response.output.ByteSize()) > _OUTPUT_BYTES:
                            raise too_large(f"agent `{attempt.agent}` produced an output", size, _OUTPUT_BYTES)
                        return response.output
                    case "delegate":
                        raise _delegation_refused(attempt.agent)
                    case None:  # an event of a newer contract
                        continue
                    case _:
                        await recorder.add(events.said(attempt, response))
        except grpc.aio.AioRpcError as error:
            raise await self._explain(server, attempt, error, timeout) from None
        finally:
            call.cancel()
            recorder.close()
        raise TroupeError(
            ErrorReason.ERROR_REASON_AGENT_FAILED, f"agent `{attempt.agent}` ended its stream without an output"
        )

    async def _explain(
        self, server: AgentServer, attempt: Attempt, error: grpc.aio.AioRpcError, timeout: float
    ) -> TroupeError:
        found = TroupeError.from_rpc(error, unavailable=ErrorReason.ERROR_REASON_AGENT_UNAVAILABLE)
        if found.reason == ErrorReason.ERROR_REASON_CANCELLED:  # not by us: the server went away
            found = TroupeError(ErrorReason.ERROR_REASON_AGENT_UNAVAILABLE, "the agent's server cancelled the call")
        if found.reason == ErrorReason.ERROR_REASON_AGENT_UNAVAILABLE:
            await self._directory.report_down(server, found.message)
            found.message = f"agent `{attempt.agent}` at {server.address} cannot be reached: {found.message}"
        if found.reason == ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED:
            found.message = f"agent `{attempt.agent}` did not end within {timeout:.1f} s"
        return found

    def _timeout(self, step: Step, assignment: Assignment) -> float:
        own = step.timeout.ToTimedelta() if step.HasField("timeout") else self._defaults.step_timeout
        return max(0.001, min(own.total_seconds(), assignment.time_left_ms / 1000))

    async def _complete(
        self, attempt: Attempt, assignment: Assignment, output: StepOutput, elapsed: float, acknowledge: bool
    ) -> None:
        event = events.completed(attempt, output, elapsed)
        encoded = output.SerializeToString()
        result = _task_output(output).SerializeToString() if assignment.is_last else None
        if not await persistently(
            lambda: self._store.complete(attempt, event=event, output=encoded, result=result, acknowledge=acknowledge)
        ):
            raise AttemptLostError

    async def _fail(self, attempt: Attempt, step: Step, error: TroupeError, acknowledge: bool) -> None:
        described = error.to_proto()
        asked = error.retry_delay.total_seconds() * 1000 if error.retry_delay is not None else None
        failure = Failure(described.code, described.retryable, asked)
        draw = random.random()  # noqa: S311 - jitter
        delay = retry_delay_ms(policy_of(step, self._defaults.retry), failure, attempt=attempt.number, draw=draw)
        event = events.failed(attempt, described, delay)
        encoded = described.SerializeToString()
        delay_ms = None if delay is None else int(delay)
        if not await persistently(
            lambda: self._store.fail(attempt, event=event, error=encoded, delay_ms=delay_ms, acknowledge=acknowledge)
        ):
            raise AttemptLostError


def policy_of(step: Step, defaults: RetryPolicy) -> RetryPolicy:
    """The step's retry policy, with what it leaves open filled in."""
    own = step.retry_policy
    initial = own.initial_backoff.ToMilliseconds() if own.HasField("initial_backoff") else defaults.initial_backoff_ms
    longest = own.max_backoff.ToMilliseconds() if own.HasField("max_backoff") else defaults.max_backoff_ms
    return RetryPolicy(
        max_attempts=own.max_attempts or defaults.max_attempts,
        initial_backoff_ms=initial,
        max_backoff_ms=longest,
        backoff_multiplier=own.backoff_multiplier or defaults.backoff_multiplier,
        retryable_codes=frozenset(own.retryable_codes) or defaults.retryable_codes,
    )


def _request(attempt: Attempt, step: Step, assignment: Assignment) -> ExecuteRequest:
    spec = TaskSpec.FromString(assignment.spec)
    request = ExecuteRequest(
        task_id=attempt.task_id,
        step_id=attempt.step_id,
        agent=attempt.agent,
        attempt=attempt.number,
        idempotency_key=f"{attempt.task_id}/{attempt.step_id}",
        project=assignment.project,
        title=step.title,
        instruction=step.instruction,
        task_input=spec.input,
        model=spec.model,
        conversation_id=spec.conversation_id,
        memory_filter=spec.memory_filter,
    )
    for encoded_step, encoded_output in assignment.dependencies:
        dependency = Step.FromString(encoded_step)
        output = StepOutput.FromString(encoded_output)
        request.dependencies.append(
            DependencyOutput(step_id=dependency.step_id, agent=dependency.agent, title=dependency.title, output=output)
        )
    if assignment.tokens_left or assignment.cost_left_usd_micros:
        budget = RemainingBudget(tokens=assignment.tokens_left, cost_usd_micros=assignment.cost_left_usd_micros)
        request.budget.CopyFrom(budget)
    return request


def _task_output(output: StepOutput) -> TaskOutput:
    return TaskOutput(text=output.text, media_type=output.media_type, citations=output.citations)


def _delegation_refused(agent: str) -> TroupeError:
    return TroupeError(
        ErrorReason.ERROR_REASON_NOT_IMPLEMENTED,
        f"agent `{agent}` delegated steps, which this version does not run; put them into the plan instead",
    )
