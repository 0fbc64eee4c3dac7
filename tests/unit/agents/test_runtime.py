import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

import pytest

from tests.support.agents import FakeModels, execute, runtime, step
from troupe.agents.runtime.agent import Agent
from troupe.agents.runtime.context import AgentContext
from troupe.agents.settings import ExecutionSettings
from troupe.api.agent.v1.agent_service_pb2 import AgentDescriptor, ExecuteRequest, RemainingBudget
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import Message, Role
from troupe.core.errors import TroupeError

ASK = [Message(role=Role.ROLE_USER, text="Question: how long is it?")]


@dataclass(frozen=True)
class Doing:
    """An agent that does what a test says."""

    do: Callable[[AgentContext], Awaitable[object]]

    @property
    def descriptor(self) -> AgentDescriptor:
        return AgentDescriptor(name="doing", title="Doing", version="1", tools=["memory_search"])

    async def execute(self, step: ExecuteRequest, context: AgentContext) -> StepOutput:
        return StepOutput(text=str(await self.do(context)))


def asks(max_output_tokens: int = 100) -> Agent:
    async def ask(context: AgentContext) -> object:
        return (await context.complete(ASK, max_output_tokens=max_output_tokens)).text

    return Doing(ask)


def waits(gate: asyncio.Event) -> Agent:
    async def wait(_: AgentContext) -> object:
        return await gate.wait()

    return Doing(wait)


async def test_events_come_in_order_and_the_output_last() -> None:
    async def talk(context: AgentContext) -> object:
        context.progress("begins", 0.25)
        context.text_delta("a")
        context.text_delta("b")
        return "ab"

    ran = await execute(runtime(Doing(talk)), step("doing", "x"))
    assert ran.kinds == ["progress", "text_delta", "text_delta", "output"]
    assert ran.events[0].progress.fraction == 0.25
    assert ran.streamed == ran.output.text


async def test_descriptors_say_what_this_process_takes() -> None:
    settings = ExecutionSettings(max_concurrency=3)
    (descriptor,) = runtime(asks(), settings=settings).descriptors()
    assert (descriptor.name, descriptor.max_concurrency, list(descriptor.tools)) == ("doing", 3, ["memory_search"])


async def test_an_unknown_agent_is_named_with_those_that_there_are() -> None:
    with pytest.raises(TroupeError, match="'painter' is no agent of this server; it has `doing`") as refused:
        await execute(runtime(asks()), step("painter", "x"))
    assert refused.value.reason == ErrorReason.ERROR_REASON_UNKNOWN_AGENT
    assert refused.value.violations[0].field == "agent"


async def test_a_defect_of_an_agent_is_told_without_its_words() -> None:
    async def fail(_: AgentContext) -> object:
        raise ValueError("the secret text of a document")

    with pytest.raises(TroupeError, match="agent `doing` failed with ValueError") as failed:
        await execute(runtime(Doing(fail)), step("doing", "x"))
    assert failed.value.reason == ErrorReason.ERROR_REASON_AGENT_FAILED
    assert "secret" not in failed.value.message


async def test_an_error_with_a_reason_keeps_it_out_of_a_task_group_too() -> None:
    async def fail(_: AgentContext) -> object:
        raise TroupeError(ErrorReason.ERROR_REASON_MEMORY_UNAVAILABLE, "gone")

    async def fail_inside(context: AgentContext) -> object:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(context))
        return None

    with pytest.raises(TroupeError, match="gone"):
        await execute(runtime(Doing(fail_inside)), step("doing", "x"))


async def test_the_deadline_ends_the_work() -> None:
    with pytest.raises(TroupeError) as late:
        await execute(runtime(waits(asyncio.Event())), step("doing", "x"), timeout_seconds=0.01)
    assert late.value.reason == ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED


async def test_closing_the_stream_reaches_the_model_call() -> None:
    models = FakeModels(hangs=True)
    stream = runtime(asks(), models=models).execute(step("doing", "x"), timeout_seconds=None)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(anext(stream))
        await models.running.wait()
        reading.cancel()
    assert models.cancelled.is_set()


async def test_steps_wait_for_their_turn_and_too_many_are_refused() -> None:
    gate = asyncio.Event()
    agents = runtime(waits(gate), settings=ExecutionSettings(max_concurrency=1, max_waiting=1))
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(execute(agents, step("doing", "x"))) for _ in range(2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(TroupeError, match="runs 1 steps and 1 wait") as refused:
            await execute(agents, step("doing", "x"))
        gate.set()
    assert refused.value.reason == ErrorReason.ERROR_REASON_QUOTA_EXCEEDED
    assert refused.value.retry_delay is not None
    assert [task.result().kinds for task in running] == [["output"], ["output"]]


async def test_model_calls_are_attributed_and_their_usage_is_told() -> None:
    models = FakeModels(turns=["It is long."])
    ran = await execute(runtime(asks(), models=models), step("doing", "x", model="mine", conversation_id="c"))
    assert ran.output.text == "It is long."
    assert ran.events[0].usage.input_tokens == 70
    (request,) = models.requests
    who = request.attribution
    assert request.model == "mine"
    assert (who.project, who.task_id, who.step_id, who.agent, who.conversation_id) == (
        *("default", "task", "doing", "doing"),
        "c",
    )


async def test_the_budget_is_checked_before_the_call() -> None:
    models = FakeModels()
    poor = step("doing", "x", budget=RemainingBudget(tokens=20))
    with pytest.raises(TroupeError, match="20 tokens of the task's budget are left") as refused:
        await execute(runtime(asks(), models=models), poor)
    assert refused.value.reason == ErrorReason.ERROR_REASON_BUDGET_EXCEEDED
    assert not models.requests


async def test_the_budget_shortens_an_answer_that_still_fits() -> None:
    models = FakeModels()
    await execute(runtime(asks(1_000), models=models), step("doing", "x", budget=RemainingBudget(tokens=200)))
    assert 40 <= models.requests[0].sampling.max_output_tokens < 200


async def test_money_is_a_budget_too() -> None:
    models = FakeModels(price=1_000_000)
    with pytest.raises(TroupeError, match="3 micro-USD of the task's budget are left"):
        await execute(runtime(asks(), models=models), step("doing", "x", budget=RemainingBudget(cost_usd_micros=3)))
    assert not models.requests


async def test_leaving_a_stream_early_ends_the_work() -> None:
    ended = asyncio.Event()

    async def talk(context: AgentContext) -> object:
        context.progress("begins")
        try:
            return await asyncio.Event().wait()
        finally:
            ended.set()

    async with aclosing(runtime(Doing(talk)).execute(step("doing", "x"), timeout_seconds=None)) as events:
        async for _ in events:
            break
    assert ended.is_set()
