"""The steps that an agent delegates, as steps of its task."""

from collections.abc import Sequence, Set

from troupe.api.agent.v1.agent_service_pb2 import Delegate
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1.event_pb2 import StepsAdded
from troupe.core.errors import TroupeError
from troupe.core.validation import check_rules
from troupe.orchestrator.domain.plan import Node, PlanError, UnknownAgentError, check_size, execution_order
from troupe.orchestrator.store.attempts import Assignment
from troupe.orchestrator.store.new_step import NewStep


def new_steps(assignment: Assignment, delegate: Delegate, *, agents: Set[str]) -> tuple[Sequence[NewStep], bytes]:
    """The steps to be stored and the encoded `StepsAdded`.

    A delegated step is known to its task as `<parent>.<its own id>`, so that agents need not know each other's ids.

    Raises:
        UnknownAgentError: a step names an agent that is not among `agents`.
        TroupeError: INVALID_PLAN; the agent is wrong, another attempt would be as well.
    """
    parent = assignment.attempt.step_id
    earlier = [Step.FromString(step).step_id.removeprefix(f"{parent}.") for step, _ in assignment.delegated]
    try:
        check_size(len(step.depends_on) for step in delegate.steps)
        check_rules(delegate)
        nodes = [Node(s.step_id, s.agent, tuple(set(s.depends_on) - set(earlier))) for s in delegate.steps]
        order = execution_order(nodes, agents=agents)
    except UnknownAgentError:
        raise
    except (TroupeError, PlanError) as error:
        raise cannot_run(assignment, error) from None
    steps = [_under(parent, delegate.steps[place]) for place in order]
    return [NewStep.of(step) for step in steps], StepsAdded(parent_step_id=parent, steps=steps).SerializeToString()


def cannot_run(assignment: Assignment, error: Exception) -> TroupeError:
    """The delegating agent is told why."""
    problem = f"agent `{assignment.attempt.agent}` delegated steps that cannot run: {error}"
    return TroupeError(ErrorReason.ERROR_REASON_INVALID_PLAN, problem)


def _under(parent: str, step: Step) -> Step:
    named = Step()
    named.CopyFrom(step)
    named.step_id = f"{parent}.{step.step_id}"
    named.depends_on[:] = [f"{parent}.{dependency}" for dependency in step.depends_on]
    return named
