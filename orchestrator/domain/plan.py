"""The plan graph: what makes a plan valid, and its order."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

MAX_DEPENDENCIES: Final = 10_000
"""Dependencies of all steps of a plan, or of a delegation, together."""

# Names that a message lists.
_LISTED: Final = 20


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


def check_size(dependencies: Iterable[int]) -> None:
    """Checks the numbers of dependencies of the steps of a plan: it costs nothing, so it goes before all else.

    Raises:
        PlanError: they are too many.
    """
    if (count := sum(dependencies)) > MAX_DEPENDENCIES:
        raise PlanError(
            "steps",
            f"depend {count} times on one another, and {MAX_DEPENDENCIES} times are allowed: put a step in between that"
            " gathers what many need, or make several tasks",
        )


def check_agent(field: str, agent: str, agents: Set[str]) -> None:
    """Checks that there is an agent.

    Raises:
        UnknownAgentError: it is not among `agents`.
    """
    if agent in agents:
        return
    near = get_close_matches(agent, agents, n=1)
    names = sorted(agents)
    known = ", ".join(f"`{name}`" for name in names[:_LISTED]) or "none"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    meant = f"; is `{near[0]}` meant?" if near else ""
    raise UnknownAgentError(field, f"{agent!r} is no known agent; known are {known}{more}{meant}")


def execution_order(nodes: Sequence[Node], *, agents: Set[str]) -> list[int]:
    """Checks a plan and returns the places of its steps so that each stands behind what it depends on.

    It takes time in proportion to the steps and their dependencies.

    Raises:
        UnknownAgentError: a step names an agent that is not among `agents`.
        PlanError: there are too many dependencies, a step id stands twice, a dependency is missing or the graph has a
            cycle.
    """
    check_size(len(node.depends_on) for node in nodes)
    places: dict[str, int] = {}
    in_order = True
    for place, node in enumerate(nodes):
        if node.step_id in places:
            raise PlanError(f"steps[{place}].step_id", f"{node.step_id!r} stands twice; ids must be unique in a plan")
        check_agent(f"steps[{place}].agent", node.agent, agents)
        in_order = in_order and all(dependency in places for dependency in node.depends_on)
        places[node.step_id] = place
    return list(range(len(nodes))) if in_order else _sorted(nodes, places)


def _sorted(nodes: Sequence[Node], places: Mapping[str, int]) -> list[int]:
    """Sorts by Kahn's algorithm, see https://doi.org/10.1145/368996.369025."""
    dependants: list[list[int]] = [[] for _ in nodes]
    left = [len(node.depends_on) for node in nodes]
    for place, node in enumerate(nodes):
        for index, dependency in enumerate(node.depends_on):
            if (other := places.get(dependency)) is None:
                raise PlanError(f"steps[{place}].depends_on[{index}]", f"{dependency!r} is no step of this plan")
            dependants[other].append(place)
    free = deque(place for place, count in enumerate(left) if not count)
    order: list[int] = []
    while free:
        place = free.popleft()
        order.append(place)
        for dependant in dependants[place]:
            left[dependant] -= 1
            if not left[dependant]:
                free.append(dependant)
    if len(order) < len(nodes):
        raise _cycle(nodes, places, [place for place, count in enumerate(left) if count])
    return order


def _cycle(nodes: Sequence[Node], places: Mapping[str, int], stuck: Sequence[int]) -> PlanError:
    """The cycle that one meets by going from dependency to dependency: each that is stuck has one that is."""
    among, path = set(stuck), dict[int, None]()
    place = stuck[0]
    while place not in path:
        path[place] = None
        place = next(other for name in nodes[place].depends_on if (other := places[name]) in among)
    walked = list(path)
    cycle = [*walked[walked.index(place) :], place]
    shown = [nodes[each].step_id for each in cycle]
    names = [*shown[:_LISTED], "…", shown[-1]] if len(shown) > _LISTED + 1 else shown
    return PlanError(f"steps[{place}].depends_on", f"closes a cycle: {' → '.join(names)}; a plan must be acyclic")
