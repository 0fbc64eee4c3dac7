from collections.abc import Mapping

import pytest

from tests.support.agents import FakeMemory, FakeModels, Ran, execute, passage, runtime, step
from tests.unit.agents.test_runtime import Doing
from troupe.agents.runtime.context import AgentContext
from troupe.agents.runtime.loop import run_loop
from troupe.agents.tools.registry import ToolRegistry
from troupe.agents.tools.tool import ToolResult, ToolScope
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import Role, ToolCall, ToolDefinition
from troupe.core.errors import TroupeError

FOUND = passage("The Humber bridge was opened in 1981.")


class Broken:
    """A tool that no agent here may call."""

    definition = ToolDefinition(name="broken")

    async def call(self, arguments: Mapping[str, object], scope: ToolScope) -> ToolResult:
        raise AssertionError("was called")


async def call(name: str, arguments: Mapping[str, object], memory: FakeMemory) -> Ran:
    async def do(context: AgentContext) -> object:
        outcome = await context.call_tool(name, arguments)
        return outcome.for_model

    return await execute(runtime(Doing(do), memory=memory, tools=[Broken()]), step("doing", "x", project="p"))


async def test_a_call_is_told_and_keeps_to_the_project_and_the_filter() -> None:
    memory = FakeMemory([FOUND])
    ran = await call("memory_search", {"query": "humber", "limit": 3.0}, memory)
    started, finished, output = ran.events
    assert started.tool_started.arguments["query"] == "humber"
    assert (finished.tool_finished.call_id, finished.tool_finished.summary) == (
        started.tool_started.call_id,
        "1 passage of 1 document",
    )
    assert "opened in 1981" in output.output.text
    assert memory.projects == {"p"}


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("broken", {}, "'broken' may not be called; permitted: `memory_search`"),
        ("memory_search", {}, "`arguments.query` must be a text"),
        ("memory_search", {"query": " "}, "`arguments.query` must be a text"),
        ("memory_search", {"query": "x", "limit": 1e9}, "`arguments.limit` must be a number from 1 to 50"),
    ],
)
async def test_errors_are_given_back(name: str, arguments: Mapping[str, object], problem: str) -> None:
    ran = await call(name, arguments, FakeMemory())
    assert problem in ran.output.text
    assert ran.events[1].tool_finished.error.reason == ErrorReason.ERROR_REASON_INVALID_REQUEST


async def test_a_defect_of_a_tool_is_given_back_too() -> None:
    ran = await call("memory_search", {"query": "x"}, FakeMemory(error=KeyError("secret")))
    assert ran.output.text.startswith("Error: tool `memory_search` failed with KeyError")
    assert "secret" not in ran.output.text


def test_an_agent_cannot_ask_for_a_tool_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="no tool is named 'hammer'; there are broken"):
        ToolRegistry([Broken()]).permitted(["hammer"])


def tool_call(number: int, query: str) -> ToolCall:
    one = ToolCall(call_id=f"c{number}", name="memory_search")
    one.arguments.update({"query": query})
    return one


def looping(max_iterations: int) -> Doing:
    async def loop(context: AgentContext) -> object:
        result = await run_loop(context, system="s", prompt="p", max_iterations=max_iterations, max_output_tokens=100)
        return f"{result.text}|{len(result.outcomes)}"

    return Doing(loop)


async def test_the_loop_gives_results_and_errors_back_to_the_model() -> None:
    models = FakeModels(turns=[[tool_call(1, "humber"), tool_call(2, " ")], "It opened in 1981."], extractive=False)
    ran = await execute(runtime(looping(5), models=models, memory=FakeMemory([FOUND])), step("doing", "x"))
    assert ran.output.text == "It opened in 1981.|2"
    answers = [m for m in models.requests[1].messages if m.role == Role.ROLE_TOOL]
    assert [m.tool_call_id for m in answers] == ["c1", "c2"]
    assert "opened in 1981" in answers[0].text
    assert answers[1].text.startswith("Error: `arguments.query`")


async def test_the_last_turn_of_the_loop_has_no_tools() -> None:
    models = FakeModels(turns=[[tool_call(1, "a")]], extractive=False)
    ran = await execute(runtime(looping(3), models=models, memory=FakeMemory([FOUND])), step("doing", "x"))
    assert ran.output.text == "|2"
    assert [len(request.tools) for request in models.requests] == [1, 1, 0]
    assert models.requests[-1].messages[-1].text.startswith("No tool may be called")


async def test_too_many_calls_of_one_turn_are_refused() -> None:
    models = FakeModels(turns=[[tool_call(n, "a") for n in range(10)], "Done."], extractive=False)
    memory = FakeMemory([FOUND])
    await execute(runtime(looping(3), models=models, memory=memory), step("doing", "x"))
    assert len(memory.queries) == 8
    assert sum("at most 8" in message.text for message in models.requests[1].messages) == 2


async def test_the_budget_ends_the_loop() -> None:
    models = FakeModels(turns=[[tool_call(1, "a")]], extractive=False, price=1)
    request = step("doing", "x")
    request.budget.tokens = 350
    with pytest.raises(TroupeError) as refused:
        await execute(runtime(looping(9), models=models, memory=FakeMemory([FOUND])), request)
    assert refused.value.reason == ErrorReason.ERROR_REASON_BUDGET_EXCEEDED
    assert 1 <= len(models.requests) < 9
