"""The plan graph: what makes a plan valid, and its order."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter


@dataclass(frozen=True, slots=True)
class Node:
    """A step as the graph sees it."""

    step_id: str
    agent: str
    depends_on: tuple[str, ...] = ()


class PlanError(ValueError):
    """A plan that cannot run; `field` is the path of the culprit within the plan, such as `steps[2].agent`."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"`{field}` {problem}")
        self.field = field
        self.problem = problem


class UnknownAgentError(PlanError):
    """A step names an agent that there is not."""


def execution_order(nodes: Sequence[Node], *, agents: Set[str]) -> list[int]:
    """Checks a plan and returns the places of its steps so that each stands behind what it depends on.

    Raises:
        UnknownAgentError: a step names an agent that is not among `agents`.
        PlanError: a step id stands twice, a dependency is missing or the graph has a cycle.
    """
    places: dict[str, int] = {}
    in_order = True
    for place, node in enumerate(nodes):
        if node.step_id in places:
            raise PlanError(f"steps[{place}].step_id", f"{node.step_id!r} stands twice; ids must be unique in a plan")
        if node.agent not in agents:
            known = ", ".join(f"`{name}`" for name in sorted(agents)) or "none"
            raise UnknownAgentError(f"steps[{place}].agent", f"{node.agent!r} is no known agent; known are {known}")
        in_order = in_order and all(dependency in places for dependency in node.depends_on)
        places[node.step_id] = place
    if in_order:
        return list(range(len(nodes)))
    for place, node in enumerate(nodes):
        for index, dependency in enumerate(node.depends_on):
            if dependency not in places:
                field = f"steps[{place}].depends_on[{index}]"
                raise PlanError(field, f"{dependency!r} is no step of this plan")
    return [places[step_id] for step_id in _sorted(nodes, places)]


def _sorted(nodes: Sequence[Node], places: dict[str, int]) -> list[str]:
    try:
        return list(TopologicalSorter({node.step_id: node.depends_on for node in nodes}).static_order())
    except CycleError as error:
        cycle: list[str] = error.args[1][::-1]
        place = places[cycle[0]]
        raise PlanError(
            f"steps[{place}].depends_on", f"closes a cycle: {' → '.join(cycle)}; a plan must be acyclic"
        ) from None
