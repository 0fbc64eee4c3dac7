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
from troupe.core.errors import TroupeError

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


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            '{"steps": [{"step_id": "a", "agnet": "writer"}]}',
            "`steps[0].agnet` is no field of `Step`; did you mean `agent`?",
        ),
        ('{"steps": [], "planner": "RULES"}', "did you mean `PLANNER_RULES`?"),
        ('{"steps": {}}', "`steps` is {}; send a list"),
        ('{"steps": [', "is wrong: this is no JSON"),
        ("[1]", "an object in braces is expected"),
        ('{"steps": [{"timeout": "soon"}]}', "`steps[0].timeout`"),
        ("caf\udce9", "is not UTF-8"),
        ("", "there is no text"),
    ],
)
async def test_a_wrong_plan_is_refused_by_field(content: str, problem: str, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_bytes(content.encode(errors="surrogateescape"))
    ended = await troupe("run", "why?", "--plan", str(plan))
    assert (ended.code, ended.out) == (2, b"")
    assert problem in ended.complaint


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--plan", "/no/such/plan"), "the plan '/no/such/plan' cannot be read: No such file or directory"),
        (("--plan", "/"), "cannot be read: Is a directory"),
        (("--label", "team"), "'team' is no KEY=VALUE"),
        (("--label", "=x"), "'=x' is no KEY=VALUE"),
        (("--label", "a=1", "--label", "a=2"), "'a' is given twice"),
        (("--priority", "hihg"), "did you mean `high`?"),
        (("--budget", "5000"), "'5000' is no budget: give tokens"),
        (("--budget", "nan usd"), "is no budget"),
        (("--budget", "0.0000001usd"), "is no budget"),
        (("--budget", "1tokens,2t"), "bounds what is bounded already"),
    ],
)
async def test_wrong_options_are_one_line(options: tuple[str, ...], problem: str) -> None:
    ended = await troupe("run", "why?", *options)
    assert (ended.code, ended.out) == (2, b"")
    assert problem in ended.complaint


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
        task.create_time.FromDatetime(datetime.now(UTC) - timedelta(hours=age))
        tasks.append(task)
    return tasks


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--limit", "2"), "t0 t1"),
        (("--label", "team=odd"), "t1 t3 t5 t7 t9"),
        (("--label", "team=odd", "--limit", "2"), "t1 t3"),
        (("--since", "150m"), "t0 t1 t2"),
        (("--until", "6.5h"), "t7 t8 t9"),
        (
            (
                "--since",
                "6h30m",
            ),
            None,
        ),
        (("--since", "5.5h", "--until", "150m", "--label", "team=even"), "t4"),
        (("--since", "2000-01-01", "--until", "2000-01-02T03:04:05Z"), ""),
    ],
)
async def test_tasks_are_filtered(
    server: tuple[TaskServer, str], options: tuple[str, ...], expected: str | None
) -> None:
    tasks, address = server
    tasks.listed, tasks.tasks_per_page = listed(), 3
    ended = await troupe("tasks", *options, "--state", "failed", "--target", address)
    if expected is None:
        assert ended.code == 2
        assert "is neither a time ago" in ended.complaint
        return
    assert ended.code == 0
    assert " ".join(line.split("\t")[0] for line in ended.out.decode().splitlines()) == expected
    assert all(list(request.states) == [TaskState.TASK_STATE_FAILED] for request in tasks.list_requests)


async def test_the_server_is_not_asked_for_older_pages_than_wanted(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    tasks.listed, tasks.tasks_per_page = listed(), 3
    await troupe("tasks", "--since", "90m", "--target", address)
    assert len(tasks.list_requests) == 1
