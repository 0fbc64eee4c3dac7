"""The planner by rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.api.orchestrator.v1.task_pb2 import Planner
from troupe.orchestrator.domain.plan import Node, execution_order
from troupe.orchestrator.planner.rules import MAX_BRANCHES, plan_by_rules

AGENTS = {"retriever", "analyzer", "writer"}


def test_one_question_is_looked_up_analyzed_and_written() -> None:
    plan = plan_by_rules("What is a lease?")
    assert [(s.step_id, list(s.depends_on)) for s in plan.steps] == [
        ("retrieve", []),
        ("analyze", ["retrieve"]),
        ("write", ["analyze"]),
    ]
    assert plan.planner == Planner.PLANNER_RULES
    assert plan.rationale


def test_several_questions_become_parallel_branches() -> None:
    plan = plan_by_rules("What is a lease? Who renews it? When does it expire?")
    assert [s.instruction for s in plan.steps if s.agent == "retriever"] == [
        "What is a lease?",
        "Who renews it?",
        "When does it expire?",
    ]
    assert list(plan.steps[-1].depends_on) == ["analyze-1", "analyze-2", "analyze-3"]


def test_a_list_of_items_becomes_branches() -> None:
    plan = plan_by_rules("Tell me about:\n- leases\n- fencing\n")
    assert [s.instruction for s in plan.steps if s.agent == "retriever"] == ["leases?", "fencing?"]


def test_a_comparison_beside_questions_drops_none_of_them() -> None:
    plan = plan_by_rules("Compare leases with locks. What is a shim? Write it up. How are closures allocated?")
    assert [s.instruction for s in plan.steps if s.agent == "retriever"] == [
        "What is said about leases?",
        "What is said about locks?",
        "How do leases and locks compare?",
        "What is a shim?",
        "How are closures allocated?",
    ]


@pytest.mark.parametrize("text", ["Compare local, global and shell.", "Compare local with global and shell"])
def test_three_things_are_compared_as_three(text: str) -> None:
    instructions = [s.instruction for s in plan_by_rules(text).steps if s.agent == "retriever"]
    assert instructions[:3] == [f"What is said about {side}?" for side in ("local", "global", "shell")]
    assert instructions[3] == "How do local, global and shell compare?"


@pytest.mark.parametrize(
    "text",
    [
        "How do I compare two versions and what does the caret range allow?",
        "Compare these designs and write a summary",
        "Which function compares two strings, and to what end?",
    ],
)
def test_the_word_alone_makes_no_comparison(text: str) -> None:
    assert [s.step_id for s in plan_by_rules(text).steps] == ["retrieve", "analyze", "write"]


def test_more_parts_than_a_plan_takes_are_not_dropped_in_silence() -> None:
    plan = plan_by_rules(" ".join(f"What is number {n}?" for n in range(20)))
    assert "Only the first 12 are taken up" in plan.rationale


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("Compare Redis with Milvus and write a summary", "Redis", "Milvus"),
        ("What is the difference between the worker and the gateway?", "the worker", "the gateway"),
        ("redis versus milvus", "redis", "milvus"),
        ("How does a lease differ from a lock?", "a lease", "a lock"),
        ("Compare gRPC to REST in terms of latency.", "gRPC", "REST"),
    ],
)
def test_a_comparison_looks_at_each_side(text: str, first: str, second: str) -> None:
    instructions = [s.instruction for s in plan_by_rules(text).steps if s.agent == "retriever"]
    assert len(instructions) == 3
    assert first in instructions[0]
    assert second in instructions[1]
    assert first in instructions[2]
    assert second in instructions[2]


def test_an_aspect_goes_to_every_branch() -> None:
    plan = plan_by_rules("Compare gRPC to REST in terms of latency.")
    assert all("latency" in s.instruction for s in plan.steps)


@given(st.text(min_size=1).filter(lambda text: text.strip()))
def test_any_request_gets_a_plan_that_runs(text: str) -> None:
    plan = plan_by_rules(text)
    nodes = [Node(s.step_id, s.agent, tuple(s.depends_on)) for s in plan.steps]
    execution_order(nodes, agents=AGENTS)
    assert all(s.instruction.strip() for s in plan.steps)
    assert len(plan.steps) <= 2 * MAX_BRANCHES + 1
