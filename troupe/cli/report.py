"""What a task ended with, as text."""

from troupe.api.orchestrator.v1.task_pb2 import TaskOutput, TaskState
from troupe.cli.shell_words import in_shell_words
from troupe.cli.view import TaskView
from troupe.core.file_urls import brief


def report_text(output: TaskOutput) -> str:
    """The text, with its sources below where it does not list them itself."""
    text = output.text.rstrip()
    if not output.citations or "# sources" in text.lower():
        return text
    sources = "\n".join(
        f"- [{c.number}] {' › '.join(filter(None, (brief(c.document_title or c.document_uri), c.heading)))}"  # noqa: RUF001
        f" ({brief(c.document_uri)}, {c.start_offset}–{c.end_offset})"
        for c in output.citations
    )
    return f"{text}\n\n## Sources\n\n{sources}"


def failure(view: TaskView) -> str:
    """Why there is no result."""
    if view.state == TaskState.TASK_STATE_CANCELLED:
        return f"task cancelled: {view.reason}" if view.reason else "task cancelled"
    step = f" in step {view.failed_step}" if view.failed_step else ""
    message = in_shell_words(view.error.message) if view.error is not None else ""
    return f"task failed{step}: {message or 'no reason was given'}"
