"""Runs one attempt of a step: has an agent execute it and records how it ended."""

import random
from collections.abc import AsyncGenerator, Callable, Sequence, Set
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from troupe.api.agent.v1.agent_service_pb2 import Delegate, ExecuteRequest, ExecuteResponse
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.common.v1.step_pb2 import Step
from troupe.core.errors import TroupeError
from troupe.core.logs import get_logger
from troupe.orchestrator.directory import AgentDirectory, AgentServer
from troupe.orchestrator.domain.delegation import DelegationBounds
from troupe.orchestrator.domain.plan import UnknownAgentError
from troupe.orchestrator.domain.retry import Failure, RetryPolicy, retry_delay_ms
from troupe.orchestrator.execution.failures import CallInterruptedError, garbage
from troupe.orchestrator.store.attempts import Assignment, Attempt, AttemptStore, Ended, Rooms
from troupe.orchestrator.store.new_step import NewStep
from troupe.orchestrator.store.patience import persistently
from troupe.orchestrator.worker import events
from troupe.orchestrator.worker.answers import check_event, check_output
from troupe.orchestrator.worker.delegation import cannot_run, new_steps
from troupe.orchestrator.worker.leases import AttemptLostError
from troupe.orchestrator.worker.recorder import Recorder, too_large
from troupe.orchestrator.worker.request import execute_request

# An output stands in one event, and clients with gRPC's default limits take messages of 4 MiB.
_OUTPUT_BYTES: Final = 2 << 20

Outcome = StepOutput | Delegate | TroupeError


@dataclass(frozen=True, slots=True)
class Defaults:
    """What steps leave open, and what bounds them."""

    retry: RetryPolicy
    step_timeout: timedelta
    coalesce_seconds: float
    delegation: DelegationBounds


class AttemptRunner:
    """Runs attempts on the servers of a directory."""

    def __init__(self, *, store: AttemptStore, directory: AgentDirectory, defaults: Defaults) -> None:
        self._store = store
        self._directory = directory
        self._defaults = defaults

    async def execute(self, assignment: Assignment, *, on_lost: Callable[[], None]) -> Outcome:
        """Has an agent execute the attempt, and returns how it ended; what happens meanwhile is recorded."""
        try:
            return await self._executed(assignment, on_lost)
        except (CallInterruptedError, AttemptLostError):
            raise
        except Exception as error:  # noqa: BLE001 - the worker's edge: whatever an agent makes it raise, the step is told
            return _defect(assignment, error)

    async def _executed(self, assignment: Assignment, on_lost: Callable[[], None]) -> Outcome:
        attempt = assignment.attempt
        server = await self._directory.soon(attempt.agent)
        if server is None:
            problem = f"no server of agent `{attempt.agent}` answers now"
            return TroupeError(ErrorReason.ERROR_REASON_AGENT_UNAVAILABLE, problem)
        step = Step.FromString(assignment.step)
        server.running[attempt.agent] += 1
        recorder = Recorder(
            store=self._store,
            attempt=attempt,
            coalesce_seconds=self._defaults.coalesce_seconds,
            on_lost=on_lost,
        )
        try:
            async with recorder:
                request = execute_request(assignment, step)
                return await self._call(server, request, self._timeout(step, assignment), attempt, recorder)
        except TroupeError as error:
            return await self._explain(server, attempt, error)
        finally:
            server.running[attempt.agent] -= 1

    async def record(self, assignment: Assignment, outcome: Outcome, *, rooms: Rooms, take: bool) -> Ended:
        """Records how an attempt ended, and begins what it lets go as far as there is room.

        Raises:
            AttemptLostError: the attempt counts no more; nothing was recorded.
        """
        try:
            ended = await self._recorded(assignment, outcome, rooms, take)
        except Exception as error:  # noqa: BLE001 - the worker's edge, as above
            problem = error if isinstance(error, TroupeError) else _defect(assignment, error)
            ended = await self._fail(assignment, problem, rooms, take)
        if ended.outcome == "lost":
            raise AttemptLostError
        return ended

    async def _recorded(self, assignment: Assignment, outcome: Outcome, rooms: Rooms, take: bool) -> Ended:
        if isinstance(outcome, Delegate):
            outcome_of_delegation = await self._delegate(assignment, outcome, rooms, take)
            if isinstance(outcome_of_delegation, Ended):
                return outcome_of_delegation
            outcome = outcome_of_delegation
        if isinstance(outcome, TroupeError):
            return await self._fail(assignment, outcome, rooms, take)
        output, attempt = outcome.SerializeToString(), assignment.attempt
        return await persistently(lambda: self._store.complete(attempt, output=output, rooms=rooms, take=take))

    async def _call(
        self, server: AgentServer, request: ExecuteRequest, timeout: float, attempt: Attempt, recorder: Recorder
    ) -> Outcome:
        responses: AsyncGenerator[ExecuteResponse, None] = server.execution.execute(request, timeout_seconds=timeout)
        async with aclosing(responses):
            async for response in responses:
                match response.WhichOneof("event"):
                    case "output":
                        check_output(response.output)
                        if (size := response.output.ByteSize()) > _OUTPUT_BYTES:
                            raise too_large(f"agent `{attempt.agent}` produced an output", size, _OUTPUT_BYTES)
                        return response.output
                    case "delegate":
                        return response.delegate
                    case None:
                        raise garbage("an event without content, or of a newer contract")
                    case _:
                        check_event(response)
                        await recorder.add(events.said(attempt, response))
        raise TroupeError(
            ErrorReason.ERROR_REASON_AGENT_FAILED, f"agent `{attempt.agent}` ended its stream without an output"
        )

    async def _explain(self, server: AgentServer, attempt: Attempt, error: TroupeError) -> TroupeError:
        # A server that says when to come back is there.
        if error.reason == ErrorReason.ERROR_REASON_AGENT_UNAVAILABLE and error.retry_delay is None:
            await self._directory.report_down(server, error.message)
            problem = f"agent `{attempt.agent}` at {server.address} cannot be reached: {error.message}"
            return replace(error, message=problem)  # the calls of a stream share their error
        return error

    def _timeout(self, step: Step, assignment: Assignment) -> float:
        own = step.timeout.ToTimedelta() if step.HasField("timeout") else self._defaults.step_timeout
        return max(0.001, min(own.total_seconds(), assignment.time_left_ms / 1000))

    async def _delegate(
        self, assignment: Assignment, delegate: Delegate, rooms: Rooms, take: bool
    ) -> Ended | TroupeError:
        def check(agents: Set[str]) -> tuple[Sequence[NewStep], bytes]:
            return new_steps(assignment, delegate, agents=agents)

        try:
            steps, added = await persistently(lambda: self._directory.settle(check))
        except UnknownAgentError as error:
            return cannot_run(assignment, error)
        except TroupeError as error:
            return error
        bounds = self._defaults.delegation
        ended = await persistently(
            lambda: self._store.delegate(
                assignment.attempt,
                steps=steps,
                added=added,
                max_depth=bounds.max_depth,
                max_steps=bounds.max_steps,
                rooms=rooms,
                take=take,
            )
        )
        if isinstance(ended, str):
            return TroupeError(ErrorReason.ERROR_REASON_INVALID_PLAN, f"agent `{assignment.attempt.agent}`: {ended}")
        return ended

    async def _fail(self, assignment: Assignment, error: TroupeError, rooms: Rooms, take: bool) -> Ended:
        described = error.to_proto()
        asked = error.retry_delay.total_seconds() * 1000 if error.retry_delay is not None else None
        failure = Failure(described.code, described.retryable, asked)
        policy = policy_of(Step.FromString(assignment.step), self._defaults.retry)
        draw = random.random()  # noqa: S311 - jitter
        delay = retry_delay_ms(policy, failure, attempt=assignment.failures + 1, draw=draw)
        encoded, delay_ms = described.SerializeToString(), None if delay is None else int(delay)
        attempt = assignment.attempt
        return await persistently(
            lambda: self._store.fail(attempt, error=encoded, delay_ms=delay_ms, rooms=rooms, take=take)
        )


def _defect(assignment: Assignment, error: Exception) -> TroupeError:
    """The worker cannot cope with an attempt: that counts as an attempt that failed, and its log has the details."""
    name = type(error).__name__
    get_logger().error("attempt failed in the worker", error=name, exc_info=error)
    return TroupeError(
        ErrorReason.ERROR_REASON_AGENT_FAILED,
        f"the worker failed with {name} on what agent `{assignment.attempt.agent}` sent; the worker's log says where",
    )


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
