"""Shows a task until it has ended or the person turns away."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from rich.console import Console

from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.api.orchestrator.v1.task_pb2 import TaskState
from troupe.cli.console import SafeConsole
from troupe.cli.interrupts import Interrupts
from troupe.cli.json_lines import JsonProgress
from troupe.cli.live import LiveProgress
from troupe.cli.plain import PlainProgress
from troupe.cli.progress import Progress
from troupe.cli.session import COMPLETED, INTERRUPTED, TASK_FAILED
from troupe.cli.streams import OutputLostError
from troupe.cli.view import TaskView, fold
from troupe.client import TroupeClient

_SECOND_CTRL_C_SECONDS: Final = 2.0


def progress_for(*, as_json: bool, console: Console | None = None) -> Progress:
    """JSON when asked for, a drawing on a terminal, plain lines elsewhere.

    What else is printed meanwhile must go to the same console, or it tears the drawing.
    """
    if as_json:
        return JsonProgress()
    console = console or SafeConsole()
    return LiveProgress(console) if console.is_terminal and not console.is_dumb_terminal else PlainProgress()


async def follow_task(
    client: TroupeClient,
    events: AsyncGenerator[TaskEvent],
    progress: Progress,
    *,
    signals: Interrupts,
    cancels: bool = False,
) -> int:
    """Shows the events and the result; returns the exit code.

    A signal stops showing; with `cancels`, a second one cancels the task.
    """
    shown = _Shown(progress)
    async with aclosing(events):
        try:
            ended = await signals.unless(shown.consume(events))
        except OutputLostError as error:  # Ctrl-C ends all of a pipe: the reader may be gone before the signal is here
            raise _with_place(error, shown.view, progress) from None
        finally:
            progress.close()
        if not ended:
            return await _turn_away(client, shown.view, progress, signals if cancels else None)
    try:
        progress.result(shown.view)
    except OutputLostError as error:
        raise _with_place(error, shown.view, progress) from None
    if shown.view.state == TaskState.TASK_STATE_FAILED:
        progress.say(f"to take it up again from its failed steps: troupe retry {shown.view.task_id}")
    return COMPLETED if shown.view.state == TaskState.TASK_STATE_COMPLETED else TASK_FAILED


class _Shown:
    """The view as it stands."""

    def __init__(self, progress: Progress) -> None:
        self.view = TaskView()
        self._progress = progress

    async def consume(self, events: AsyncGenerator[TaskEvent]) -> bool:
        async for event in events:
            self.view = fold(self.view, event)
            self._progress.show(event, self.view)
        return True


async def _turn_away(client: TroupeClient, view: TaskView, progress: Progress, signals: Interrupts | None) -> int:
    if not view.task_id:
        progress.say("interrupted before the orchestrator had accepted the task")
        return INTERRUPTED
    progress.say(_detached(view))
    if signals is None:
        return COMPLETED
    progress.say(f"Ctrl-C again within {_SECOND_CTRL_C_SECONDS:g} s cancels it")
    try:
        async with asyncio.timeout(_SECOND_CTRL_C_SECONDS):
            await signals.next()
    except TimeoutError:
        return COMPLETED
    await client.cancel(view.task_id, reason="cancelled from the terminal")
    progress.say(f"task {view.task_id} cancelled")
    return TASK_FAILED


def _with_place(lost: OutputLostError, view: TaskView, progress: Progress) -> OutputLostError:
    """Standard output is lost, the task and its report are not: says where they are."""
    if not str(lost):  # no failure, so nothing but this will be said
        if view.task_id and not view.ended:
            progress.say(_detached(view))
        return lost
    if view.ended:
        return OutputLostError(f"{lost}; what task {view.task_id} produced is kept: troupe show {view.task_id}")
    return OutputLostError(f"{lost}; {_detached(view)}" if view.task_id else str(lost))


def _detached(view: TaskView) -> str:
    return f"detached: task {view.task_id} goes on; follow it with: troupe watch {view.task_id}"
