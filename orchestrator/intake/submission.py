"""Turns a request into a stored task."""

import hashlib
import time
from collections.abc import Set
from datetime import timedelta
from functools import partial

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent, TaskPlanned, TaskSubmitted
from troupe.api.orchestrator.v1.task_pb2 import Plan, Priority, StepState, TaskSpec, TaskState
from troupe.core.errors import TroupeError, invalid
from troupe.core.ids import new_id
from troupe.core.projects import DEFAULT_PROJECT
from troupe.core.telemetry.propagation import current_traceparent
from troupe.core.web.errors import RefusedUrlError
from troupe.core.web.urls import check_url
from troupe.orchestrator.directory import AgentDirectory
from troupe.orchestrator.domain.plan import PlanError, check_agent
from troupe.orchestrator.intake.admission import Admission
from troupe.orchestrator.models import ModelDirectory
from troupe.orchestrator.planner.planning import make_plan, plan_error
from troupe.orchestrator.store.new_step import NewStep
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.schema import TaskBase
from troupe.orchestrator.store.tasks import Keeping, NewTask, StoredTask, TaskStore
from troupe.orchestrator.webhooks.settings import WebhookSettings


class Submission:
    """Plans and stores tasks."""

    def __init__(
        self,
        *,
        tasks: TaskStore,
        partitions: Partitions,
        directory: AgentDirectory,
        models: ModelDirectory,
        admission: Admission,
        task_timeout: timedelta,
        webhooks: WebhookSettings,
        keeping: Keeping,
    ) -> None:
        self._tasks = tasks
        self._partitions = partitions
        self._directory = directory
        self._models = models
        self._admission = admission
        self._task_timeout = task_timeout
        self._webhooks = webhooks
        self._keeping = keeping

    async def plan(self, spec: TaskSpec) -> Plan:
        """The plan that `submit` would run.

        Raises:
            TroupeError: INVALID_PLAN, UNKNOWN_AGENT or INVALID_REQUEST, with the field; AGENT_UNAVAILABLE when an agent
                server that was never heard of may offer what the plan names.
        """
        if spec.model:
            await self._models.check(spec.model, field="task.model")
        try:
            return await self._directory.settle(partial(make_plan, spec))
        except PlanError as error:
            raise plan_error(error) from None

    async def check_again(self, stored: StoredTask) -> None:
        """Checks that the agents of a failed task's steps are known yet, but for those of steps that completed.

        Raises:
            TroupeError: UNKNOWN_AGENT; AGENT_UNAVAILABLE as for `plan`.
        """
        if stored.row.state != TaskState.TASK_STATE_FAILED:
            return
        steps = {step_id: stored.step(step_id) for step_id in stored.order}
        agents = {
            step_id: base.agent for step_id, (row, base) in steps.items() if row.state != StepState.STEP_STATE_COMPLETED
        }

        def check(known: Set[str]) -> None:
            for step_id, agent in agents.items():
                check_agent(f"steps[{step_id}].agent", agent, known)

        try:
            await self._directory.settle(check)
        except PlanError as error:
            raise TroupeError(ErrorReason.ERROR_REASON_UNKNOWN_AGENT, f"task `{stored.task_id}`: {error}") from None

    def new_task_id(self, request_id: str) -> str:
        """The id of a task that is about to be submitted."""
        return self._partitions.new_task_id(request_id)

    async def submit(self, spec: TaskSpec, request_id: str, task_id: str | None = None) -> str:
        """Plans and stores a task; returns its id, or that of the earlier task with the same request id."""
        request_id = request_id or new_id()
        task_id = task_id or self.new_task_id(request_id)
        if spec.webhook_url:
            self._check_webhook(spec.webhook_url)
        began = time.perf_counter_ns()
        plan = await self.plan(spec)
        plan_us = (time.perf_counter_ns() - began) // 1000
        task = self._new_task(task_id, spec, plan, request_id, plan_us)
        try:
            async with self._admission.place(DEFAULT_PROJECT):
                return await self._tasks.submit(task)
        except TroupeError as error:
            if error.reason == ErrorReason.ERROR_REASON_QUOTA_EXCEEDED and (found := await self._tasks.earlier(task)):
                return found  # it takes no place
            raise

    def _check_webhook(self, url: str) -> None:
        if not self._webhooks.enabled:
            raise invalid("task.webhook_url", "is set, and this deployment has no `webhooks.secrets`; watch the task")
        try:
            check_url(url, self._webhooks.rules())
        except RefusedUrlError as error:
            raise invalid("task.webhook_url", f"is refused: {error}") from None

    def _new_task(self, task_id: str, spec: TaskSpec, plan: Plan, request_id: str, plan_us: int) -> NewTask:
        stored = TaskSpec()
        stored.CopyFrom(spec)
        stored.ClearField("plan")
        timeout = spec.timeout.ToTimedelta() if spec.HasField("timeout") else self._task_timeout
        submitted = TaskEvent(task_id=task_id, task_submitted=TaskSubmitted(spec=stored, project=DEFAULT_PROJECT))
        planned = TaskEvent(task_id=task_id, task_planned=TaskPlanned(plan=plan))
        planned.task_planned.plan_time.FromMicroseconds(plan_us)
        base = TaskBase(
            project=DEFAULT_PROJECT,
            priority=spec.priority or Priority.PRIORITY_NORMAL,
            plan_us=plan_us,
            timeout=int(timeout.total_seconds() * 1000),
            retention=self._keeping.retention_ms,
            keep=self._keeping.events,
            trace=current_traceparent(),
            max_tokens=spec.budget.max_tokens,
            max_cost=spec.budget.max_cost_usd_micros,
            webhook=spec.webhook_url,
            conversation=spec.conversation_id,
        )
        return NewTask(
            task_id=task_id,
            base=base,
            request_id=request_id,
            request_ttl_ms=self._keeping.request_ttl_ms,
            body_hash=hashlib.sha256(spec.SerializeToString(deterministic=True)).digest(),
            spec=stored.SerializeToString(),
            plan=plan.SerializeToString(),
            steps=[NewStep.of(step) for step in plan.steps],
            events=[submitted.SerializeToString(), planned.SerializeToString()],
        )
