"""The plan graph."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.plan import Node, PlanError, UnknownAgentError, execution_order


@st.composite
def acyclic(draw: Any) -> list[Node]:
    """Nodes in any order whose dependencies point from later to earlier numbers."""
    count = draw(st.integers(1, 30))
    nodes = []
    for number in range(count):
        chosen = draw(st.lists(st.integers(0, number - 1), unique=True)) if number else []
        nodes.append(Node(f"s{number}", "a", tuple(f"s{other}" for other in chosen)))
    shuffled: list[Node] = draw(st.permutations(nodes))
    return shuffled


@given(acyclic())
def test_every_step_stands_behind_what_it_depends_on(nodes: list[Node]) -> None:
    order = [nodes[place] for place in execution_order(nodes, agents={"a"})]
    assert sorted(node.step_id for node in order) == sorted(node.step_id for node in nodes)
    seen: set[str] = set()
    for node in order:
        assert set(node.depends_on) <= seen
        seen.add(node.step_id)


@given(acyclic(), st.data())
def test_a_back_edge_is_a_cycle_that_is_named(nodes: list[Node], data: st.DataObject) -> None:
    by_number = sorted(nodes, key=lambda node: int(node.step_id[1:]))
    chain = [
        Node(node.step_id, "a", (*node.depends_on, by_number[place - 1].step_id) if place else node.depends_on)
        for place, node in enumerate(by_number)
    ]
    last = data.draw(st.integers(0, len(chain) - 1))
    chain[0] = Node(chain[0].step_id, "a", (*chain[0].depends_on, chain[last].step_id))
    with pytest.raises(PlanError, match="cycle") as caught:
        execution_order([Node(n.step_id, "a", tuple(dict.fromkeys(n.depends_on))) for n in chain], agents={"a"})
    assert caught.value.field.endswith("depends_on")


def test_an_unknown_agent_is_named_with_those_that_are_known() -> None:
    with pytest.raises(UnknownAgentError, match="'ghost' is no known agent; known are `a`, `b`") as caught:
        execution_order([Node("s", "ghost")], agents={"b", "a"})
    assert caught.value.field == "steps[0].agent"
