"""An attempt that the worker cannot cope with has failed, at once: its lease need not run out."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from troupe.api.agent.v1.agent_service_pb2 import ExecuteResponse
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.api.common.v1.error_pb2 import Error, ErrorReason
from troupe.api.common.v1.step_pb2 import Step
from troupe.core.errors import TroupeError
from troupe.orchestrator.directory import AgentServer
from troupe.orchestrator.domain.delegation import DelegationBounds
from troupe.orchestrator.domain.retry import RetryPolicy
from troupe.orchestrator.execution.failures import CallInterruptedError
from troupe.orchestrator.store.attempts import Assignment, Attempt, Ended
from troupe.orchestrator.worker.attempt import AttemptRunner, Defaults
from troupe.orchestrator.worker.leases import AttemptLostError


class _Execution:
    """Raises what it is given, or says it."""

    def __init__(self, what: Any) -> None:
        self._what = what

    async def execute(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        if isinstance(self._what, BaseException):
            raise self._what
        yield self._what


class _Directory:
    def __init__(self, execution: Any) -> None:
        self._server = AgentServer("here", execution)

    async def soon(self, agent: str) -> AgentServer:
        return self._server


class _Store:
    """Keeps the failure that is recorded; completing raises what it is given."""

    def __init__(self, on_complete: Exception | None = None) -> None:
        self.recorded: list[Error] = []
        self._on_complete = on_complete

    async def complete(self, *_: Any, **__: Any) -> Ended:
        if self._on_complete is not None:
            raise self._on_complete
        return Ended("completed")

    async def fail(self, attempt: Attempt, *, error: bytes, delay_ms: int | None, **_: Any) -> Ended:
        self.recorded.append(Error.FromString(error))
        return Ended("failed" if delay_ms is None else "retried")


def _runner(store: Any, execution: Any) -> AttemptRunner:
    policy = RetryPolicy(max_attempts=2, initial_backoff_ms=1, max_backoff_ms=1, backoff_multiplier=1)
    defaults = Defaults(policy, timedelta(seconds=5), 0, DelegationBounds(max_depth=1, max_steps=10))
    directory: Any = _Directory(execution)
    return AttemptRunner(store=store, directory=directory, defaults=defaults)


def _assignment(*, step: bytes | None = None, spec: bytes = b"") -> Assignment:
    named = Step(step_id="s", agent="a", instruction="x").SerializeToString()
    return Assignment(
        attempt=Attempt("t", "s", "a", 1, 0),
        time_left_ms=5_000,
        tokens_left=0,
        cost_left_usd_micros=0,
        spec=spec,
        step=named if step is None else step,
        project="p",
        failures=0,
        queue_wait_ms=0,
        traceparent="",
        depth=0,
        dependencies=[],
        delegated=[],
    )


def _lost() -> None:
    raise AssertionError("nobody took the lease")


@pytest.mark.parametrize(
    ("what", "assignment"),
    [
        (ValueError("secret words"), _assignment()),
        (RuntimeError("secret words"), _assignment()),
        (ExceptionGroup("secret words", [KeyError("x")]), _assignment()),
        ("no message", _assignment()),
        (ExecuteResponse(), _assignment(spec=b"\xff\xff")),
        (ExecuteResponse(), _assignment(step=b"\xff\xff")),
    ],
)
async def test_whatever_is_raised_while_an_agent_works_fails_the_attempt(what: Any, assignment: Assignment) -> None:
    store = _Store()
    outcome = await _runner(store, _Execution(what)).execute(assignment, on_lost=_lost)
    assert isinstance(outcome, TroupeError)
    assert (outcome.reason, outcome.retryable) == (ErrorReason.ERROR_REASON_AGENT_FAILED, True)
    assert "secret words" not in outcome.message
    ended = await _runner(store, _Execution(what)).record(_assignment(), outcome, rooms={}, take=False)
    assert ended.outcome == "retried"
    assert [error.reason for error in store.recorded] == [ErrorReason.ERROR_REASON_AGENT_FAILED]


@pytest.mark.parametrize(
    "problem", [TypeError("x"), TroupeError(ErrorReason.ERROR_REASON_INTERNAL, "the script failed")]
)
async def test_what_cannot_be_recorded_is_recorded_as_a_failure(problem: Exception) -> None:
    store = _Store(on_complete=problem)
    runner = _runner(store, _Execution(None))
    await runner.record(_assignment(), StepOutput(text="done"), rooms={}, take=False)
    (error,) = store.recorded
    expected = problem.reason if isinstance(problem, TroupeError) else ErrorReason.ERROR_REASON_AGENT_FAILED
    assert error.reason == expected


@pytest.mark.parametrize("kind", [AttemptLostError, CallInterruptedError])
async def test_an_attempt_that_ends_for_others_has_not_failed(kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await _runner(_Store(), _Execution(kind())).execute(_assignment(), on_lost=_lost)
