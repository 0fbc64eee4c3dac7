"""Makes or checks the plan of a task."""

from collections.abc import Set

from google.protobuf.message import Message

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1.task_pb2 import Plan, Planner, TaskSpec
from troupe.core.errors import FieldViolation, TroupeError, invalid
from troupe.orchestrator.domain.plan import Node, PlanError, UnknownAgentError, check_size, execution_order
from troupe.orchestrator.planner.rules import plan_by_rules

_MAX_INSTRUCTION_BYTES = 65_536


def make_plan(spec: TaskSpec, agents: Set[str]) -> Plan:
    """The plan that runs for a spec: the caller's own, or one by rules. Steps come in an order that can be executed.

    Raises:
        PlanError: the caller's cannot run.
        TroupeError: INVALID_REQUEST; there is nothing to plan.
    """
    if not spec.input.strip():
        raise invalid("task.input", "must hold at least one character that is no white space")
    plan = _own(spec.plan) if spec.HasField("plan") else plan_by_rules(_bounded(spec.input))
    nodes = [Node(step.step_id, step.agent, tuple(step.depends_on)) for step in plan.steps]
    order = execution_order(nodes, agents=agents)
    if order == list(range(len(order))):
        return plan
    return Plan(steps=[plan.steps[place] for place in order], planner=plan.planner, rationale=plan.rationale)


def check_size_of_plan(request: Message) -> None:
    """Refuses the plan of a request whose rules and graph would take long to check.

    Raises:
        TroupeError: INVALID_PLAN.
    """
    task = getattr(request, "task", None)
    if isinstance(task, TaskSpec) and task.HasField("plan"):
        try:
            check_size(len(step.depends_on) for step in task.plan.steps)
        except PlanError as error:
            raise plan_error(error) from None


def _own(plan: Plan) -> Plan:
    own = Plan()
    own.CopyFrom(plan)
    own.planner = Planner.PLANNER_CALLER
    return own


def _bounded(text: str) -> str:
    """The input as far as an instruction may be long, cut at a character."""
    return text.encode()[:_MAX_INSTRUCTION_BYTES].decode(errors="ignore")


def plan_error(error: PlanError) -> TroupeError:
    """What the caller is told: INVALID_PLAN or UNKNOWN_AGENT, with the field."""
    unknown = isinstance(error, UnknownAgentError)
    reason = ErrorReason.ERROR_REASON_UNKNOWN_AGENT if unknown else ErrorReason.ERROR_REASON_INVALID_PLAN
    field = f"task.plan.{error.field}"
    return TroupeError(reason, f"`{field}` {error.problem}", violations=[FieldViolation(field, error.problem)])
