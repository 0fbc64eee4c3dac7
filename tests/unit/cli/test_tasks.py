"""The list of tasks on a terminal."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from troupe.api.orchestrator.v1.task_pb2 import Task, TaskSpec, TaskState
from troupe.cli.commands.tasks import print_table
from troupe.core.ids import new_id


@pytest.mark.parametrize("width", [20, 60, 80, 120, 400])
def test_only_the_request_is_cut(width: int) -> None:
    request = "What happens [red]when a worker dies? و چه می‌شود؟ " * 4
    task = Task(task_id=new_id(), state=TaskState.TASK_STATE_COMPLETED, spec=TaskSpec(input=request))
    task.create_time.FromSeconds(1_700_000_000)
    task.end_time.FromSeconds(1_700_000_075)
    running = Task(task_id=new_id(), state=TaskState.TASK_STATE_RUNNING, spec=TaskSpec(input="why?"))
    out = io.StringIO()
    print_table([task, running], Console(file=out, width=width, force_terminal=True, color_system=None))
    header, first, second = out.getvalue().splitlines()
    assert header.split() == ["task", "state", "submitted", "took", "request"]
    assert first.startswith(f"{task.task_id}  completed  11-14 22:13:20  1 min 15 s  What ha")
    assert second.split() == [running.task_id, "running", "why?"]
    assert first.endswith("…") == (width < 400)
    assert width < 80 or cell_len(first) <= width
