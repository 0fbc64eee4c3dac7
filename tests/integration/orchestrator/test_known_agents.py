"""Agents that were seen stay known, whoever is started anew: what names one that is away waits for it."""

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio

from tests.support.engine import Engine, history, kinds, spec, submit
from tests.support.plain_agents import DONE, Answer, PlainAgents, plain_agents
from tests.support.processes import reached, until
from tests.support.redis import Redis
from tests.support.scenarios import completed, in_state, refusal, retry, states
from troupe.api.agent.v1 import agent_service_pb2 as agent_pb
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.api.orchestrator.v1.task_pb2 import TaskSpec
from troupe.core.errors import TroupeError
from troupe.local.launch import free_port
from troupe.orchestrator.directory import AgentDirectory
from troupe.orchestrator.domain.plan import UnknownAgentError, check_agent
from troupe.orchestrator.redis.client import RedisClient
from troupe.orchestrator.store.known_agents import KnownAgent, KnownAgents

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

pytestmark = pytest.mark.asyncio(loop_scope="module")

_DELEGATE = agent_pb.ExecuteResponse(
    delegate=agent_pb.Delegate(steps=[Step(step_id="h", agent="helper", instruction="x")])
).SerializeToString()


class Two:
    """An engine with two agent servers: that of `boss`, which delegates to `helper`, and that of `helper`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.boss = PlainAgents({}, names=["boss"], multiplexed=True)
        self.helper = PlainAgents({}, names=["helper"])
        self.helper_address = f"127.0.0.1:{free_port()}"
        self._addresses = f'["{engine.agents_address}", "{self.helper_address}"]'

    def start_orchestrator(self) -> Any:
        return self.engine.start_orchestrator(TROUPE_ORCHESTRATOR__AGENTS=self._addresses)

    def start_worker(self) -> Any:
        return self.engine.start_worker(TROUPE_WORKER__AGENTS=self._addresses)

    def delegating(self, instruction: str) -> TaskSpec:
        self.boss.answers[instruction] = [Answer([_DELEGATE]), Answer([DONE])]
        return spec(("b", "boss", instruction, []))


@pytest_asyncio.fixture(loop_scope="module")
async def two(own: Engine) -> AsyncIterator[Two]:
    two = Two(own)
    async with plain_agents(own.agents_address, two.boss):
        yield two


async def _listed(stub: "Stub") -> dict[str, bool]:
    reply = await stub.ListAgents(pb.ListAgentsRequest())
    return {each.agent.name: each.available for each in reply.agents}


@asynccontextmanager
async def calling(engine: Engine) -> "AsyncIterator[Stub]":
    """Calls the orchestrator once it answers: it does not count as healthy while an agent server is away."""
    async with engine.open() as channel:
        stub: Stub = OrchestratorServiceStub(channel)

        async def answers() -> bool:
            with contextlib.suppress(grpc.aio.AioRpcError):
                return bool(await stub.ListAgents(pb.ListAgentsRequest()))
            return False

        await until(answers)
        yield stub


async def _knows(stub: "Stub", **available: bool) -> None:
    async def listed() -> bool:
        return await _listed(stub) == available

    await until(listed)


async def test_whoever_is_started_while_an_agent_is_away_knows_it(two: Two) -> None:
    orchestrator, worker = two.start_orchestrator(), two.start_worker()
    async with AsyncExitStack() as stack:
        async with plain_agents(two.helper_address, two.helper), calling(two.engine) as stub:
            await _knows(stub, boss=True, helper=True)
            assert completed(await history(stub, await submit(stub, two.delegating("first")))).keys() == {"b", "b.h"}
            two.helper.answers["once"] = [Answer(code=grpc.StatusCode.NOT_FOUND)]
            failed = await submit(stub, spec(("x", "helper", "once", [])))
            assert kinds(await history(stub, failed))[-1] == "task_failed"
        for process in (orchestrator, worker):
            process.kill()
            process.wait()
        two.start_orchestrator()
        two.start_worker()
        stub = await stack.enter_async_context(calling(two.engine))
        await _knows(stub, boss=True, helper=False)

        delegated = await submit(stub, two.delegating("second"))
        await in_state(stub, delegated, "b.h", "ready")
        named = await submit(stub, spec(("x", "helper", "x", [])))
        planned = await stub.PlanTask(pb.PlanTaskRequest(task=spec(("x", "helper", "x", []))))
        assert planned.plan.steps[0].agent == "helper"
        ghost = await refusal(submit(stub, spec(("x", "helpr", "x", []))))
        assert ghost.reason == ErrorReason.ERROR_REASON_UNKNOWN_AGENT
        assert "`helper`" in ghost.message
        assert not ghost.retryable
        await retry(stub, failed)
        assert await states(stub, named) == await states(stub, failed) == {"x": "ready"}
        assert await states(stub, delegated) == {"b.h": "ready", "b": "delegating"}

        await stack.enter_async_context(plain_agents(two.helper_address, two.helper))
        events = await history(stub, delegated)
        assert (kinds(events)[-1], "step_failed" in kinds(events)) == ("task_completed", False)
        assert completed(await history(stub, named)) == completed(await history(stub, failed)) == {"x": "done"}


async def test_what_a_server_may_yet_offer_is_not_unknown(two: Two) -> None:
    """Nobody has ever heard of the second server: it may offer any name."""
    two.start_orchestrator()
    two.start_worker()
    async with calling(two.engine) as stub:
        await _knows(stub, boss=True)
        early = await refusal(submit(stub, spec(("x", "helper", "x", []))))
        assert (early.reason, early.retryable) == (ErrorReason.ERROR_REASON_AGENT_UNAVAILABLE, True)
        assert early.retry_delay
        assert two.helper_address in early.message
        task = two.delegating("early")
        two.boss.answers["early"] = [Answer([_DELEGATE])] * 50
        task.plan.steps[0].retry_policy.max_attempts = 20
        task.plan.steps[0].retry_policy.max_backoff.FromMilliseconds(200)
        task_id = await submit(stub, task)
        await in_state(stub, task_id, "b", "retrying")
        async with plain_agents(two.helper_address, two.helper):
            await _knows(stub, boss=True, helper=True)
            await in_state(stub, task_id, "b.h", "completed")
        failures = [each.step_failed.error async for each in _events(stub, task_id) if each.HasField("step_failed")]
        assert failures[0].reason == ErrorReason.ERROR_REASON_AGENT_UNAVAILABLE
        assert failures[0].retryable


async def _events(stub: "Stub", task_id: str) -> AsyncIterator[Any]:
    """What is stored of a task that goes on."""
    last = (await stub.GetTask(pb.GetTaskRequest(task_id=task_id))).task.last_sequence
    call = stub.WatchTask(pb.WatchTaskRequest(task_id=task_id))
    async for response in call:
        for event in response.events:
            yield event
            if event.sequence >= last:
                call.cancel()
                return


@pytest_asyncio.fixture(loop_scope="module")
async def redis(own_redis: Redis) -> AsyncIterator[RedisClient]:
    client = RedisClient(own_redis.url)
    yield client
    await client.close()


def _is(directory: AgentDirectory, *, seen: set[str], away: set[str]) -> Callable[[], bool]:
    return lambda: (set(directory.seen), set(directory.away)) == (seen, away)


async def test_a_server_that_describes_itself_by_garbage_is_down_and_comes_back(redis: RedisClient) -> None:
    address = f"127.0.0.1:{free_port()}"
    names = ["good", "", "UPPER", "a b", "x" * 65, "é", "a,b", "a|b"]
    agents = [agent_pb.AgentDescriptor(name=name, max_concurrency=-5) for name in names]
    server = PlainAgents({}, described=b"\xff\xff\xff")
    known = KnownAgents(redis, kept=timedelta(days=1))
    async with plain_agents(address, server), AgentDirectory(addresses=[address], known=known) as directory:
        await reached(lambda: "cannot be read" in (directory.servers[0].problem or ""))
        server.described = agent_pb.DescribeResponse(agents=agents).SerializeToString()
        await reached(_is(directory, seen={"good"}, away=set()))
        assert directory.capacity("good", default=7) == 7


async def test_agents_are_forgotten_after_a_while_or_when_their_server_drops_them(redis: RedisClient) -> None:
    address = f"127.0.0.1:{free_port()}"
    known = KnownAgents(redis, kept=timedelta(days=1))
    helper = agent_pb.AgentDescriptor(name="helper", title="Helper", description="helps", version="2", tools=["t"])
    await known.remember({"helper": KnownAgent(helper, "elsewhere:1")})
    await known.remember({"dropped": KnownAgent(agent_pb.AgentDescriptor(name="dropped"), address)})
    async with (
        plain_agents(address, PlainAgents({}, names=["boss"])),
        AgentDirectory(addresses=[address, "127.0.0.1:1"], known=known) as directory,
    ):
        await reached(_is(directory, seen={"boss"}, away={"helper"}))
        assert directory.away["helper"].descriptor == helper
        with pytest.raises(TroupeError) as early:  # the second server was never heard of
            await directory.settle(partial(check_agent, "agent", "x"))
        assert early.value.reason == ErrorReason.ERROR_REASON_AGENT_UNAVAILABLE
        await known.remember({"second": KnownAgent(agent_pb.AgentDescriptor(name="second"), "127.0.0.1:1")})
        for name in ("boss", "helper", "second"):
            await directory.settle(partial(check_agent, "agent", name))
        with pytest.raises(UnknownAgentError, match=r"'bos' is no known agent.*is `boss` meant"):
            await directory.settle(partial(check_agent, "agent", "bos"))
    forgetful = KnownAgents(redis, kept=timedelta(microseconds=1))

    async def forgotten() -> bool:
        return not await forgetful.recall()

    await until(forgotten)


async def test_an_agent_in_a_worker_is_there_with_it(own: Engine, redis: RedisClient) -> None:
    known = KnownAgents(redis, kept=timedelta(days=1))
    own.start_worker(TROUPE_WORKER__AGENTS="[]", TROUPE_WORKER__LOCAL_AGENTS='["tests.bench.noop_agent:Noop"]')

    async def remembered() -> bool:
        return bool(await known.recall())

    await until(remembered)
    own.start_orchestrator()
    async with calling(own) as stub:
        await _knows(stub, noop=True)
        (status,) = (await stub.ListAgents(pb.ListAgentsRequest())).agents
        assert status.address == "a worker's own process"


async def test_what_is_remembered_outlives_redis(own_redis: Redis, redis: RedisClient) -> None:
    known = KnownAgents(redis, kept=timedelta(days=1))
    await known.remember({"a": KnownAgent(agent_pb.AgentDescriptor(name="a"), "x:1")})
    seen = await known.recall()
    assert seen["a"].last_seen_ms > 0
    own_redis.kill()
    own_redis.start()

    async def recalled() -> bool:
        with contextlib.suppress(TroupeError):
            return await known.recall() == seen
        return False

    await until(recalled)
