"""Agents in the worker's own process, named in its settings."""

import importlib
from collections.abc import AsyncGenerator, Mapping, Sequence

from troupe.agent.executor import StepExecutor
from troupe.agent.guarded import guarded
from troupe.api.agent.v1.agent_service_pb2 import AgentDescriptor, ExecuteRequest, ExecuteResponse
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError
from troupe.core.server import StartupError


class LocalAgents:
    """The agents of several executors as those of one."""

    def __init__(self, executors: Sequence[StepExecutor]) -> None:
        self._by_name: Mapping[str, StepExecutor] = {
            descriptor.name: executor for executor in executors for descriptor in executor.descriptors()
        }
        self._descriptors = [descriptor for executor in executors for descriptor in executor.descriptors()]

    def descriptors(self) -> Sequence[AgentDescriptor]:
        """The agents and what each takes."""
        return self._descriptors

    def execute(self, step: ExecuteRequest, *, timeout_seconds: float | None) -> AsyncGenerator[ExecuteResponse, None]:
        """Executes an attempt."""
        if executor := self._by_name.get(step.agent):
            return guarded(executor, step, timeout_seconds=timeout_seconds)
        raise TroupeError(ErrorReason.ERROR_REASON_UNKNOWN_AGENT, f"{step.agent!r} is no agent of this process")


def load_agents(paths: Sequence[str]) -> LocalAgents:
    """Makes the executors that are named as `package.module:factory`; a factory takes no argument.

    Raises:
        StartupError: one cannot be made.
    """
    return LocalAgents([_load(path) for path in paths])


def _load(path: str) -> StepExecutor:
    module, _, name = path.partition(":")
    try:
        executor: StepExecutor = getattr(importlib.import_module(module), name)()
    except Exception as error:  # noqa: BLE001 - the edge: whatever the user's code raises stops the start
        problem = f"{type(error).__name__}: {error}"
        raise StartupError(
            f"setting `worker.local_agents` names {path!r}, which cannot be made: {problem};"
            " it must be `package.module:factory`"
        ) from None
    return executor
