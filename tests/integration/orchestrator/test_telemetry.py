"""What the engine tells an operator: one trace for a task, and metrics that move as it works."""

import signal
import subprocess

import httpx2
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.support.collector import attributes_of, collecting
from tests.support.engine import Engine, calling, history, kinds, spec, submit
from tests.support.processes import reached, until
from tests.support.scripted_agents import ScriptedAgents, scripted_agents
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.core.telemetry.settings import TelemetrySettings
from troupe.core.telemetry.spans import remote_span
from troupe.core.telemetry.tracing import configure_tracing
from troupe.local.launch import free_port

REDIS_KINDS = ["single"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

SUBMIT = "troupe.api.orchestrator.v1.OrchestratorService/SubmitTask"
EXECUTE = "troupe.api.agent.v1.AgentService/Execute"


class Scrape:
    """The metrics of a process's admin port."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def value(self, name: str, **labels: str) -> float:
        """The sample as Prometheus would read it; 0 when there is none."""
        async with httpx2.AsyncClient(base_url=f"http://{self._address}") as http:
            try:
                text = (await http.get("/metrics")).text
            except httpx2.ConnectError as error:
                raise ConnectionError(self._address) from error
        for family in parse_text(text):
            for sample in family.samples:
                if sample.name == f"troupe_engine_{name}" and sample.labels == labels:
                    return sample.value
        return 0

    async def becomes(self, expected: float, name: str, **labels: str) -> None:
        """Returns once the sample has this value."""
        seen = -1.0

        async def equal() -> bool:
            nonlocal seen
            seen = await self.value(name, **labels)
            return seen == expected

        try:
            await until(equal)
        except AssertionError:
            raise AssertionError(f"{name}{labels} is {seen}, not {expected}") from None


def start_orchestrator(engine: Engine, **settings: str) -> Scrape:
    admin = f"127.0.0.1:{free_port()}"
    engine.start_orchestrator(TROUPE_ORCHESTRATOR__SERVER__ADMIN=admin, **settings)
    return Scrape(admin)


def start_worker(engine: Engine, **settings: str) -> tuple[subprocess.Popen[bytes], Scrape]:
    admin = f"127.0.0.1:{free_port()}"
    return engine.start_worker(TROUPE_WORKER__SERVER__ADMIN=admin, **settings), Scrape(admin)


@pytest.mark.parametrize("multiplexed", [True, False])
async def test_one_trace_goes_from_the_client_to_the_agents(own: Engine, *, multiplexed: bool) -> None:
    async with collecting() as collector, scripted_agents(own.agents_address, multiplexed=multiplexed):
        tracing = {"TROUPE_TELEMETRY__OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        own.start_orchestrator(**tracing)
        own.start_worker(**tracing)
        async with calling(own) as stub, configure_tracing("test", TelemetrySettings(otlp_endpoint=collector.endpoint)):
            with remote_span("client", ""):
                task_id = await submit(stub, spec(("a", "noop", "x", []), ("b", "flaky", "2", ["a"])))
            assert kinds(await history(stub, task_id))[-1] == "task_completed"
        await reached(lambda: len(collector.spans.get("step", [])) == len(collector.spans.get(EXECUTE, [])) == 3)
        client, submitted, steps = collector.one("client"), collector.one(SUBMIT), collector.spans["step"]
        executions = collector.spans[EXECUTE]
    assert submitted.parent_span_id == client.span_id
    assert {step.parent_span_id for step in steps} == {submitted.span_id}
    assert [execution.parent_span_id for execution in ordered(executions)] == [step.span_id for step in ordered(steps)]
    assert {span.trace_id for span in (submitted, *steps, *executions)} == {client.trace_id}
    said = [attributes_of(step.attributes) for step in ordered(steps)]
    assert [(s["troupe.task_id"], s["troupe.step_id"], s["troupe.attempt"]) for s in said] == [
        (task_id, "a", 1),
        (task_id, "b", 1),
        (task_id, "b", 2),
    ]


async def test_attempts_and_tasks_are_counted_by_how_they_ended(own: Engine, own_agents: ScriptedAgents) -> None:
    api = start_orchestrator(own)
    _, worker = start_worker(own)
    async with calling(own) as stub:
        for _ in range(3):
            await history(stub, await submit(stub, spec(("a", "noop", "x", []), ("b", "noop", "x", ["a"]))))
        await history(stub, await submit(stub, spec(("f", "flaky", "3", []))))
        await history(stub, await submit(stub, spec(("x", "broken", "x", []))))
        cancelled = await submit(stub, spec(("h", "hanging", "x", [])))
        await reached(lambda: bool(own_agents.requests[cancelled]))
        for _ in range(2):
            await stub.CancelTask(pb.CancelTaskRequest(task_id=cancelled))
        await worker.becomes(1, "attempts_ended_total", agent="hanging", outcome="lost")
        late = spec(("h", "hanging", "x", []))
        late.timeout.FromMilliseconds(300)
        await history(stub, await submit(stub, late))
    await worker.becomes(6, "attempts_started_total", agent="noop")
    await worker.becomes(6, "attempts_ended_total", agent="noop", outcome="completed")
    await worker.becomes(3, "attempts_started_total", agent="flaky")
    await worker.becomes(2, "attempts_ended_total", agent="flaky", outcome="retried")
    await worker.becomes(1, "attempts_ended_total", agent="flaky", outcome="completed")
    await worker.becomes(1, "attempts_ended_total", agent="broken", outcome="failed")
    await worker.becomes(6, "step_seconds_count", agent="noop")
    await worker.becomes(6, "queue_wait_seconds_count", agent="noop")
    await worker.becomes(4, "tasks_ended_total", state="completed")
    await worker.becomes(2, "tasks_ended_total", state="failed")
    await api.becomes(1, "tasks_ended_total", state="cancelled")


async def test_how_long_steps_wait_and_run_is_measured(own: Engine, own_agents: ScriptedAgents) -> None:
    start_orchestrator(own)
    async with calling(own) as stub:
        task_id = await submit(stub, spec(("h", "hanging", "x", [])))
        _, worker = start_worker(own)
        await reached(lambda: bool(own_agents.requests[task_id]))
        own_agents.gates[task_id].set()
        events = await history(stub, task_id)
    waited = of_kind(events, "step_started") - of_kind(events, "task_submitted")
    ran = of_kind(events, "step_completed") - of_kind(events, "step_started")
    assert await worker.value("queue_wait_seconds_sum", agent="hanging") == pytest.approx(waited, abs=0.05)
    assert await worker.value("step_seconds_sum", agent="hanging") == pytest.approx(ran, abs=0.05)


async def test_what_waits_runs_and_is_delayed_is_seen(own: Engine, own_agents: ScriptedAgents) -> None:
    start_orchestrator(own)
    _, worker = start_worker(own)
    async with calling(own) as stub:
        slow = await submit(stub, spec(*((f"s{n}", "narrow", "x", []) for n in range(40))))
        await worker.becomes(2, "steps_leased")
        await worker.becomes(1, "tasks_open", project="default")
        await worker.becomes(1, "steps_delayed")  # its deadline
        assert await worker.value("steps_ready", agent="narrow") >= 3  # messages of up to 16 steps
        assert await worker.value("steps_ready", agent="noop") == 0
        retrying = spec(("f", "flaky", "2", []))
        retrying.plan.steps[0].retry_policy.initial_backoff.FromSeconds(3000)
        retrying.plan.steps[0].retry_policy.max_backoff.FromSeconds(3000)
        waiting = await submit(stub, retrying)
        await worker.becomes(2, "tasks_open", project="default")
        await worker.becomes(3, "steps_delayed")
        await stub.CancelTask(pb.CancelTaskRequest(task_id=waiting))
        await worker.becomes(1, "steps_delayed")
        own_agents.gates[slow].set()
        assert kinds(await history(stub, slow))[-1] == "task_completed"
        for gauge in ("steps_leased", "steps_delayed"):
            await worker.becomes(0, gauge)
        await worker.becomes(0, "tasks_open", project="default")
        await worker.becomes(0, "steps_ready", agent="narrow")


async def test_what_a_killed_worker_left_is_counted_as_reclaimed(own: Engine, own_agents: ScriptedAgents) -> None:
    start_orchestrator(own)
    first, _ = start_worker(own)
    async with calling(own) as stub:
        task_id = await submit(stub, spec(*((f"h{n}", "hanging", "x", []) for n in range(3))))
        await reached(lambda: len(own_agents.requests[task_id]) == 3)
        _, second = start_worker(own)
        await second.becomes(3, "steps_leased")
        assert await second.value("reclaimed_total") == 0
        first.kill()
        await second.becomes(3, "reclaimed_total")
        own_agents.gates[task_id].set()
        await history(stub, task_id)
        assert await second.value("fenced_total") == 0


async def test_what_a_paused_worker_says_is_counted_as_fenced(own: Engine, own_agents: ScriptedAgents) -> None:
    start_orchestrator(own)
    first, paused = start_worker(own)
    async with calling(own) as stub:
        task_id = await submit(stub, spec(("h", "hanging", "x", [])))
        await reached(lambda: len(own_agents.requests[task_id]) == 1)
        _, second = start_worker(own)
        await second.becomes(1, "steps_leased")
        first.send_signal(signal.SIGSTOP)
        await reached(lambda: len(own_agents.requests[task_id]) == 2)
        first.send_signal(signal.SIGCONT)
        await paused.becomes(1, "fenced_total")
        await paused.becomes(1, "attempts_ended_total", agent="hanging", outcome="lost")
        own_agents.gates[task_id].set()
        await history(stub, task_id)
    await second.becomes(1, "attempts_ended_total", agent="hanging", outcome="completed")
    assert await second.value("fenced_total") == 0


async def test_watchers_and_changes_are_counted(own: Engine, own_agents: ScriptedAgents) -> None:
    api = start_orchestrator(own)
    _, worker = start_worker(own)
    async with calling(own) as stub:
        task_id = await submit(stub, spec(("h", "hanging", "x", [])))
        watches = [stub.WatchTask(pb.WatchTaskRequest(task_id=task_id)) for _ in range(2)]
        for watch in watches:
            await anext(aiter(watch))
        await api.becomes(2, "watchers")
        watches[0].cancel()
        await api.becomes(1, "watchers")
        own_agents.gates[task_id].set()
        assert [event async for response in watches[1] for event in response.events][-1].HasField("task_completed")
        await api.becomes(0, "watchers")
    assert await api.value("watch_events_total") > 0
    assert await api.value("transitions_total", operation="submit") == 1
    assert await worker.value("transitions_total", operation="complete") == 1
    batches = await worker.value("transition_batch_size_count")
    assert await worker.value("transition_batch_size_sum") >= batches > 0


def ordered(spans: list[Span]) -> list[Span]:
    return sorted(spans, key=lambda span: span.start_time_unix_nano)


def of_kind(events: list[TaskEvent], kind: str) -> float:
    """When the only event of a kind was, in seconds."""
    (event,) = (event for event in events if event.WhichOneof("event") == kind)
    return event.event_time.ToNanoseconds() / 1e9
