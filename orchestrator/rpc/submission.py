"""Turns a request into a stored task."""

import hashlib
import time
from datetime import timedelta

from orchestrator.directory import AgentDirectory
from orchestrator.planner.planning import make_plan
from orchestrator.store.partitions import Partitions
from orchestrator.store.tasks import NewStep, NewTask, TaskStore
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent, TaskPlanned, TaskSubmitted
from troupe.api.orchestrator.v1.task_pb2 import Plan, TaskSpec
from troupe.core.errors import FieldViolation, TroupeError
from troupe.core.ids import new_id

DEFAULT_PROJECT = "default"


class Submission:
    """Plans and stores tasks."""

    def __init__(
        self, *, tasks: TaskStore, partitions: Partitions, directory: AgentDirectory, task_timeout: timedelta
    ) -> None:
        self._tasks = tasks
        self._partitions = partitions
        self._directory = directory
        self._task_timeout = task_timeout

    def plan(self, spec: TaskSpec) -> Plan:
        """The plan that `submit` would run."""
        return make_plan(spec, agents=self._directory.agents.keys())

    async def submit(self, spec: TaskSpec, request_id: str) -> str:
        """Plans and stores a task; returns its id, or that of the earlier task with the same request id."""
        if spec.webhook_url:
            raise _webhook_refused()
        began = time.perf_counter_ns()
        plan = self.plan(spec)
        plan_us = (time.perf_counter_ns() - began) // 1000
        return await self._tasks.submit(self._new_task(spec, plan, request_id or new_id(), plan_us))

    def _new_task(self, spec: TaskSpec, plan: Plan, request_id: str, plan_us: int) -> NewTask:
        task_id = self._partitions.new_task_id(request_id)
        stored = TaskSpec()
        stored.CopyFrom(spec)
        stored.ClearField("plan")
        timeout = spec.timeout.ToTimedelta() if spec.HasField("timeout") else self._task_timeout
        submitted = TaskEvent(task_id=task_id, task_submitted=TaskSubmitted(spec=stored, project=DEFAULT_PROJECT))
        planned = TaskEvent(task_id=task_id, task_planned=TaskPlanned(plan=plan))
        planned.task_planned.plan_time.FromMicroseconds(plan_us)
        return NewTask(
            task_id=task_id,
            project=DEFAULT_PROJECT,
            request_id=request_id,
            body_hash=hashlib.sha256(spec.SerializeToString(deterministic=True)).digest(),
            spec=stored.SerializeToString(),
            plan=plan.SerializeToString(),
            steps=[NewStep(s.step_id, s.agent, s.SerializeToString(), list(s.depends_on)) for s in plan.steps],
            events=[submitted.SerializeToString(), planned.SerializeToString()],
            plan_us=plan_us,
            timeout_ms=int(timeout.total_seconds() * 1000),
            max_tokens=spec.budget.max_tokens,
            max_cost_usd_micros=spec.budget.max_cost_usd_micros,
        )


def _webhook_refused() -> TroupeError:
    return TroupeError(
        ErrorReason.ERROR_REASON_NOT_IMPLEMENTED,
        "`task.webhook_url` is set, and this version calls no webhooks; watch the task instead",
        violations=[FieldViolation("task.webhook_url", "is not implemented yet")],
    )
