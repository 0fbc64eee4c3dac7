"""A task drawn on a terminal while it runs."""

import time
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.live import Live
from rich.markdown import Markdown
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.api.orchestrator.v1.task_pb2 import StepState, TaskState
from troupe.cli import words
from troupe.cli.clock import ServerClock
from troupe.cli.report import failure, report_text
from troupe.cli.shell_words import in_shell_words
from troupe.cli.view import StepView, TaskView, depths

_FRAMES_PER_SECOND: Final = 12
_MAX_INDENT: Final = 3
_MAX_TEXT_LINES: Final = 8
# A terminal writes ^C behind the last line. If that wrapped, the next frame would begin a line too low and leave
# the heading of this one behind.
_ECHO_WIDTH: Final = 4
_ACTIVE: Final = (StepState.STEP_STATE_RUNNING, StepState.STEP_STATE_DELEGATING)
_ICONS: Final = {
    StepState.STEP_STATE_PENDING: ("·", "dim"),
    StepState.STEP_STATE_READY: ("·", "cyan"),
    StepState.STEP_STATE_RETRYING: ("↻", "yellow"),
    StepState.STEP_STATE_AWAITING_APPROVAL: ("?", "yellow"),
    StepState.STEP_STATE_COMPLETED: ("✓", "green"),
    StepState.STEP_STATE_FAILED: ("✗", "red"),
    StepState.STEP_STATE_CANCELLED: ("■", "yellow"),
    StepState.STEP_STATE_SKIPPED: ("–", "dim"),
}


class LiveProgress:
    """Redraws the steps in place; what has ended stays on the screen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._view = TaskView()
        self._clock = ServerClock()
        self._spinner = Spinner("dots", style="cyan")
        self._live: Live | None = None

    def show(self, event: TaskEvent, view: TaskView) -> None:
        """Draws the task after the event."""
        self._clock.observe(event, time.time())
        self._view = view
        if self._live is None:
            self._live = Live(self, console=self._console, refresh_per_second=_FRAMES_PER_SECOND)
            self._live.start()

    def say(self, message: str) -> None:
        """Prints the message, above the drawing while there is one."""
        self._console.print(message, markup=False, highlight=False)

    def close(self) -> None:
        """Leaves the last drawing where it is."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def result(self, view: TaskView) -> None:
        """Prints the report as rendered Markdown, or why there is none."""
        if view.state == TaskState.TASK_STATE_COMPLETED and view.output is not None:
            self._console.print()
            self._console.print(Padding(Markdown(report_text(view.output), hyperlinks=False), (0, 1)))
            if view.metrics is not None:
                self._console.print()
                self._console.print(Text(f"completed in {words.summary(view.metrics)}", style="green"))
        else:
            self._console.print(Text(failure(view), style="red"))

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """The frame of this moment."""
        width = max(1, options.max_width - _ECHO_WIDTH)
        yield Constrain(self.frame(width, options.height or self._console.height), width)

    def frame(self, width: int, height: int) -> RenderableType:
        """Heading, steps and the end of the text that is being written."""
        view = self._view
        now = self._clock.at(time.time())
        parts: list[RenderableType] = [_heading(view), self._steps(view, now)]
        speaking = view.steps.get(view.speaking)
        if speaking is not None and speaking.state == StepState.STEP_STATE_RUNNING:
            room = min(_MAX_TEXT_LINES, height - len(view.steps) - 5)
            parts.append(_tail(speaking.text, width, room, self._console))
        return Group(*parts)

    def _steps(self, view: TaskView, now: float) -> Table:
        table = Table(box=None, show_header=False, expand=True, padding=(0, 1, 0, 0))
        table.add_column(width=1)
        table.add_column(ratio=5, no_wrap=True, overflow="ellipsis")
        table.add_column(no_wrap=True, style="cyan", max_width=14, overflow="ellipsis")
        table.add_column(ratio=4, no_wrap=True, overflow="ellipsis", style="dim")
        table.add_column(justify="right", no_wrap=True, min_width=6)
        depth = depths(view.steps)
        for step in view.steps.values():
            indent = "  " * min(_MAX_INDENT, depth[step.step_id])
            title = Text(indent + _on_one_line(step.title or step.step_id), style=_title_style(step))
            table.add_row(self._icon(step), title, _on_one_line(step.agent), _detail(step), _time(step, now))
        return table

    def _icon(self, step: StepView) -> RenderableType:
        if step.state in _ACTIVE:
            return self._spinner
        icon, style = _ICONS.get(step.state, (" ", ""))
        return Text(icon, style=style)


def _heading(view: TaskView) -> RenderableType:
    heading = Text(no_wrap=True, overflow="ellipsis")
    heading.append("task ", style="dim")
    heading.append(view.task_id, style="bold")
    if view.steps:
        heading.append(f"  {words.plural(len(view.steps), 'step')}", style="dim")
        heading.append(f", planned {words.PLANNERS[view.planner]}" if view.planner in words.PLANNERS else "", "dim")
    return heading


def _title_style(step: StepView) -> str:
    return "dim" if step.state in (StepState.STEP_STATE_PENDING, StepState.STEP_STATE_SKIPPED) else ""


def _detail(step: StepView) -> Text:
    if step.state == StepState.STEP_STATE_FAILED:
        return Text(_on_one_line(in_shell_words(step.message)), style="red")
    if step.state == StepState.STEP_STATE_PENDING:
        return Text("")
    notes = [_on_one_line(step.message)] if step.message else []
    if step.fraction is not None:
        notes.append(f"{step.fraction:.0%}")
    if step.attempt > 1 or step.failures:
        notes.append(f"attempt {step.attempt}")
    if step.tool_calls:
        notes.append(words.plural(step.tool_calls, "tool call"))
    return Text(" · ".join(notes), style="yellow" if step.state == StepState.STEP_STATE_RETRYING else "")


def _on_one_line(text: str) -> str:
    """A step has one line: with more the drawing would outgrow the screen."""
    return " ".join(text.split())


def _time(step: StepView, now: float) -> Text:
    if step.seconds is not None:
        return Text(words.duration(step.seconds), style="dim")
    if step.state in _ACTIVE and step.started_at is not None:
        return Text(words.duration(max(0.1, now - step.started_at)), style="cyan")
    return Text("")


def _tail(text: str, width: int, room: int, console: Console) -> RenderableType:
    """The last lines of a text as they fit, so that the drawing never outgrows the screen."""
    if room < 3 or not text.strip():
        return Text("")
    wrapped = Text(text[-width * room * 2 :].strip()).wrap(console, width - 4)
    shown = Text("\n").join(wrapped[-room + 2 :])
    return Padding(shown, (1, 2, 0, 3), style="italic")
