"""The plan graph."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.orchestrator.domain.plan import MAX_DEPENDENCIES, Node, PlanError, UnknownAgentError, execution_order


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


def _nodes(count: int, width: int) -> list[Node]:
    names = [f"s{number}" for number in range(count)]
    return [Node(name, "a", tuple(names[max(0, place - width) : place])) for place, name in enumerate(names)]


def test_dependencies_are_bounded_before_anything_else_is_looked_at() -> None:
    with pytest.raises(PlanError, match="10001 times") as caught:
        execution_order([Node("s", "ghost", ("ghost",) * (MAX_DEPENDENCIES + 1))], agents={"a"})
    assert caught.value.field == "steps"


@pytest.mark.parametrize(("count", "width"), [(1_000, 10), (141, 140), (10_000, 1), (2, 1), (1, 0)])
def test_the_largest_graphs_are_sorted_in_either_direction(count: int, width: int) -> None:
    nodes = _nodes(count, width)
    assert execution_order(nodes, agents={"a"}) == list(range(count))
    assert execution_order(nodes[::-1], agents={"a"}) == list(range(count))[::-1]


def test_a_long_cycle_is_named_in_short() -> None:
    ring = [Node(f"s{place}", "a", (f"s{(place + 1) % 1_000}",)) for place in range(1_000)]
    with pytest.raises(PlanError, match=r"closes a cycle: s0 → s1 → .* → … → s0; a plan") as caught:
        execution_order(ring, agents={"a"})
    assert len(str(caught.value)) < 400


def test_a_step_that_depends_on_itself_is_a_cycle() -> None:
    with pytest.raises(PlanError, match="closes a cycle: s → s;"):
        execution_order([Node("s", "a", ("s",))], agents={"a"})


def test_what_hangs_on_a_cycle_is_not_named() -> None:
    nodes = [Node("z", "a", ("y",)), Node("y", "a", ("x",)), Node("x", "a", ("y",))]
    with pytest.raises(PlanError, match="closes a cycle: y → x → y;"):
        execution_order(nodes, agents={"a"})


@pytest.mark.parametrize(
    ("name", "meant"), [("retriver", "retriever"), ("Writer", "writer"), ("analyser", "analyzer"), ("x", "")]
)
def test_the_nearest_agent_is_named(name: str, meant: str) -> None:
    with pytest.raises(UnknownAgentError) as caught:
        execution_order([Node("s", name)], agents={"retriever", "writer", "analyzer"})
    assert (f"is `{meant}` meant?" in str(caught.value)) == bool(meant)


def test_a_message_lists_no_more_than_some_agents() -> None:
    with pytest.raises(UnknownAgentError, match="and 980 more"):
        execution_order([Node("s", "x")], agents={f"agent-{number}" for number in range(1_000)})
