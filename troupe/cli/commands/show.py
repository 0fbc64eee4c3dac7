"""`troupe show`."""

from contextlib import aclosing

from rich.console import Console
from rich.markdown import Markdown
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from troupe.api.orchestrator.v1.task_pb2 import StepStatus, Task, TaskState
from troupe.cli import words
from troupe.cli.console import SafeConsole
from troupe.cli.json_lines import print_json
from troupe.cli.options import JsonOption, TargetOption, TaskIdArgument
from troupe.cli.report import report_text
from troupe.cli.session import COMPLETED, with_client
from troupe.cli.shell_words import in_shell_words
from troupe.cli.streams import say
from troupe.client import TroupeClient


def command(task_id: TaskIdArgument, as_json: JsonOption = False, target: TargetOption = None) -> None:
    """Show a task: its request, steps and result."""

    async def work(client: TroupeClient) -> int:
        task = await client.get(task_id)
        reason = "" if as_json else await _cancel_reason(client, task)
        if as_json:
            print_json(task)
        elif (console := SafeConsole()).is_terminal:
            _print(task, reason, console)
        else:
            _print_plain(task, reason)
        return COMPLETED

    with_client(target, work)


async def _cancel_reason(client: TroupeClient, task: Task) -> str:
    """Why a task was cancelled, which only its last event says."""
    if task.state != TaskState.TASK_STATE_CANCELLED or not task.last_sequence:
        return ""
    reason = ""
    async with aclosing(client.watch(task.task_id, after_sequence=task.last_sequence - 1)) as events:
        async for event in events:
            reason = event.task_cancelled.reason
    return reason


def _print(task: Task, reason: str, console: Console) -> None:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column()
    for name, value in _facts(task, reason):
        facts.add_row(name, Text(value))
    console.print(facts)
    console.print()
    console.print(_steps(task))
    if task.state == TaskState.TASK_STATE_COMPLETED:
        console.print()
        console.print(Padding(Markdown(report_text(task.output), hyperlinks=False), (0, 1)))


def _print_plain(task: Task, reason: str) -> None:
    """The same for pipes: nothing wrapped, padded or cut."""
    for name, value in _facts(task, reason):
        say(f"{name}: {value}")
    say("")
    for status in task.steps:
        say("\t".join(" ".join(cell.split()) for cell in _cells(status)))
    if task.state == TaskState.TASK_STATE_COMPLETED:
        say(f"\n{report_text(task.output)}")


def _facts(task: Task, reason: str) -> list[tuple[str, str]]:
    facts = [
        ("task", task.task_id),
        ("state", words.TASK_STATES.get(task.state, "?")),
        ("request", task.spec.input),
        ("submitted", task.create_time.ToDatetime().isoformat(" ", "seconds") + " UTC"),
        ("took", words.task_duration(task) or "(not ended)"),
        ("planned", words.PLANNERS.get(task.plan.planner, "?")),
    ]
    if task.HasField("error"):
        facts.append(("error", in_shell_words(task.error.message)))
    return [*facts, ("reason", reason)] if reason else facts


def _steps(task: Task) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("step", "agent", "state", "attempts", "took"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("attempts", "took") else "left")
    table.add_column("", overflow="fold")
    for status in task.steps:
        table.add_row(*map(Text, _cells(status)))
    return table


def _cells(status: StepStatus) -> tuple[str, str, str, str, str, str]:
    state = words.STEP_STATES.get(status.state, "?")
    note = in_shell_words(status.error.message) if status.HasField("error") else status.step.title
    return status.step.step_id, status.step.agent, state, str(status.attempt), _took(status), note


def _took(status: StepStatus) -> str:
    if not status.HasField("end_time") or not status.HasField("start_time"):
        return ""
    return words.duration((status.end_time.ToNanoseconds() - status.start_time.ToNanoseconds()) / 1e9)
