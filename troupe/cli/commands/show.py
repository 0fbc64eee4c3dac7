"""`troupe show`."""

from rich.console import Console
from rich.markdown import Markdown
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from troupe.api.orchestrator.v1.task_pb2 import StepStatus, Task, TaskState
from troupe.cli import words
from troupe.cli.json_lines import print_json
from troupe.cli.options import JsonOption, TargetOption, TaskIdArgument
from troupe.cli.report import report_text
from troupe.cli.session import COMPLETED, with_client
from troupe.client import TroupeClient


def command(task_id: TaskIdArgument, as_json: JsonOption = False, target: TargetOption = None) -> None:
    """Show a task: its request, steps and result."""

    async def work(client: TroupeClient) -> int:
        task = await client.get(task_id)
        if as_json:
            print_json(task)
        else:
            _print(task, Console())
        return COMPLETED

    with_client(target, work)


def _print(task: Task, console: Console) -> None:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column()
    for name, value in _facts(task):
        facts.add_row(name, Text(value))
    console.print(facts)
    console.print()
    console.print(_steps(task))
    if task.state == TaskState.TASK_STATE_COMPLETED:
        report = report_text(task.output)
        console.print()
        console.print(Padding(Markdown(report), (0, 1)) if console.is_terminal else Text(report))


def _facts(task: Task) -> list[tuple[str, str]]:
    facts = [
        ("task", task.task_id),
        ("state", words.TASK_STATES.get(task.state, "?")),
        ("request", task.spec.input),
        ("submitted", task.create_time.ToDatetime().isoformat(" ", "seconds") + " UTC"),
        ("took", words.task_duration(task) or "(not ended)"),
        ("planned", words.PLANNERS.get(task.plan.planner, "?")),
    ]
    return [*facts, ("error", task.error.message)] if task.HasField("error") else facts


def _steps(task: Task) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("step", "agent", "state", "attempts", "took"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("attempts", "took") else "left")
    table.add_column("", overflow="fold")
    for status in task.steps:
        state = words.STEP_STATES.get(status.state, "?")
        note = status.error.message if status.HasField("error") else status.step.title
        table.add_row(status.step.step_id, status.step.agent, state, str(status.attempt), _took(status), Text(note))
    return table


def _took(status: StepStatus) -> str:
    if not status.HasField("end_time") or not status.HasField("start_time"):
        return ""
    return words.duration((status.end_time.ToNanoseconds() - status.start_time.ToNanoseconds()) / 1e9)
