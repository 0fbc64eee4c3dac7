"""What a task is to be, and which tasks are listed, as options of the command line."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.command_line import troupe
from tests.support.task_server import TASK_ID, TaskServer, task_server
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1.event_pb2 import TaskFailed
from troupe.api.orchestrator.v1.task_pb2 import Priority, Task, TaskSpec, TaskState
from troupe.cli.task_filter import Wanted, newest
from troupe.client import TroupeClient
from troupe.core.errors import TroupeError

NOW = datetime.now(UTC)
PLAN = {
    "steps": [
        {"stepId": "find", "agent": "retriever", "instruction": "find", "timeout": "30s"},
        {
            "step_id": "write",
            "agent": "writer",
            "instruction": "write",
            "depends_on": ["find"],
            "requiresApproval": True,
        },
    ]
}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[tuple[TaskServer, str]]:
    async with task_server() as served:
        yield served


async def test_a_task_is_what_the_options_say(server: tuple[TaskServer, str], tmp_path: Path) -> None:
    tasks, address = server
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(PLAN))
    ended = await troupe(
        *("run", "why?", "--target", address, "--plan", str(plan), "--label", "team=a=b", "--label", "empty="),
        *("--priority", "high", "--budget", "20_000tokens", "--budget", "$0.50", "--timeout", "90s"),
        *("--webhook", "https://example.com/done", "--request-id", "mine", "--model", "chat"),
    )
    assert (ended.code, ended.err) == (0, b"")
    request = tasks.run_requests[0]
    spec = request.task
    assert request.request_id == "mine"
    assert [step.step_id for step in spec.plan.steps] == ["find", "write"]
    assert spec.plan.steps[1].requires_approval
    assert dict(spec.labels) == {"team": "a=b", "empty": ""}
    assert (spec.priority, spec.model, spec.timeout.seconds) == (Priority.PRIORITY_HIGH, "chat", 90)
    assert (spec.budget.max_tokens, spec.budget.max_cost_usd_micros) == (20_000, 500_000)
    assert spec.webhook_url == "https://example.com/done"


async def test_a_plan_that_was_printed_can_be_run(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    printed = await troupe("plan", "why?", "--json", "--target", address)
    ended = await troupe(
        "run", "why?", "--plan", "-", "--detach", "--request-id", "mine", "--target", address, stdin=printed.out
    )
    assert (ended.code, ended.out) == (0, f"{TASK_ID}\n".encode())
    assert tasks.submit_requests[0].request_id == "mine"
    assert tasks.submit_requests[0].task.plan.steps[1].depends_on == ["find"]


async def test_a_wrong_plan_or_option_is_one_line(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text('{"steps": [{"stepId": "a", "agnet": "writer"}]}')
    ended = await troupe("run", "why?", "--plan", str(plan))
    assert (ended.code, ended.out) == (2, b"")
    assert ended.complaint.endswith("`steps[0].agnet` is no field of `Step`; did you mean `agent`?")
    ended = await troupe("run", "why?", "--budget", "5000")
    assert (ended.code, ended.out) == (2, b"")
    assert "'5000' is no budget: give tokens" in ended.complaint


async def test_a_failed_task_says_how_to_go_on_in_the_words_of_the_shell(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    error = TroupeError(ErrorReason.ERROR_REASON_MODEL_REFUSED, "it failed; see `GetTask`, then `RetryTask`").to_proto()
    tasks.events[-1].task_failed.CopyFrom(TaskFailed(error=error, step_id="write"))
    ended = await troupe("run", "why?", "--target", address)
    assert ended.code == 1
    assert b"see `troupe show ID`, then `troupe retry ID`" in ended.out
    assert ended.complaint == f"to take it up again from its failed steps: troupe retry {TASK_ID}"


def listed() -> list[Task]:
    """Tasks of the last ten hours, the newest first."""
    tasks = []
    for age in range(10):
        labels = {"team": "even" if age % 2 == 0 else "odd"}
        task = Task(task_id=f"t{age}", state=TaskState.TASK_STATE_FAILED, spec=TaskSpec(input="why?", labels=labels))
        task.create_time.FromDatetime(NOW - timedelta(hours=age))
        tasks.append(task)
    return tasks


async def test_tasks_are_filtered(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    tasks.listed, tasks.tasks_per_page = listed(), 3
    options = ("--since", "5.5h", "--until", "150m", "--label", "team=even", "--state", "failed")
    ended = await troupe("tasks", *options, "--target", address)
    assert [line.split("\t")[0] for line in ended.out.decode().splitlines()] == ["t4"]
    assert all(list(request.states) == [TaskState.TASK_STATE_FAILED] for request in tasks.list_requests)


@pytest.mark.parametrize(
    ("limit", "wanted", "expected"),
    [
        (2, Wanted(), "t0 t1"),
        (20, Wanted(labels={"team": "odd"}), "t1 t3 t5 t7 t9"),
        (2, Wanted(labels={"team": "odd"}), "t1 t3"),
        (20, Wanted(labels={"team": "odd", "more": "x"}), ""),
        (20, Wanted(since=NOW - timedelta(minutes=150)), "t0 t1 t2"),
        (20, Wanted(until=NOW - timedelta(hours=6.5)), "t7 t8 t9"),
        (20, Wanted(since=NOW - timedelta(days=9), until=NOW - timedelta(days=8)), ""),
    ],
)
async def test_the_newest_that_are_wanted(
    server: tuple[TaskServer, str], limit: int, wanted: Wanted, expected: str
) -> None:
    tasks, address = server
    tasks.listed, tasks.tasks_per_page = listed(), 3
    async with TroupeClient(address) as client:
        assert " ".join(task.task_id for task in await newest(client, limit, wanted)) == expected


async def test_the_server_is_not_asked_for_older_pages_than_wanted(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    tasks.listed, tasks.tasks_per_page = listed(), 3
    async with TroupeClient(address) as client:
        await newest(client, 20, Wanted(since=NOW - timedelta(minutes=90)))
    assert len(tasks.list_requests) == 1
