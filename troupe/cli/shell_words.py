"""What servers say in the words of the contract, in those of the command line."""

import re
from collections.abc import Mapping
from typing import Final

# Every method that a command calls. `{id}` is the task that the message is about.
COMMANDS: Final[Mapping[str, str]] = {
    "RunTask": "troupe run",
    "RunTasks": "troupe run",
    "SubmitTask": "troupe run",
    "WatchTask": "troupe watch {id}",
    "GetTask": "troupe show {id}",
    "GetTaskMetrics": "troupe show {id}",
    "ListTasks": "troupe tasks",
    "PlanTask": "troupe plan",
    "ListAgents": "troupe agents",
    "ListModels": "troupe models",
    "Generate": "troupe generate",
    "CancelTask": "troupe cancel {id}",
    "RetryTask": "troupe retry {id}",
    "ResolveApproval": "troupe approve {id} STEP",
    "Ingest": "troupe ingest",
    "Search": "troupe search",
    "ListDocuments": "troupe docs list",
    "GetDocument": "troupe docs show",
    "Delete": "troupe docs delete",
    "GetStats": "troupe docs list",
    "ListSources": "troupe docs sources",
    "ForgetSource": "troupe docs sources --forget NAME",
    "ReleaseDocuments": "troupe ingest",
}
_FIELDS: Final[Mapping[str, str]] = {
    "task.input": "REQUEST",
    "task.plan": "--plan",
    "task.model": "--model",
    "task.labels": "--label",
    "task.budget": "--budget",
    "task.timeout": "--timeout",
    "task.webhook_url": "--webhook",
    "task.priority": "--priority",
    "response_schema": "--schema",
    "messages": "TEXT",
    "sampling.max_output_tokens": "--max-tokens",
    "task_id": "ID",
    "step_id": "STEP",
    "request_id": "--request-id",
    "comment": "--comment",
    "reason": "--reason",
    "after_sequence": "--after",
    "budget": "--budget",
    "timeout": "--timeout",
    "webhook_url": "--webhook",
}
_METHOD: Final = re.compile(rf"`(?:[\w.]+[./])?({'|'.join(sorted(COMMANDS, key=len, reverse=True))})(?:\(\))?`")
_FIELD: Final = re.compile(rf"`({'|'.join(map(re.escape, sorted(_FIELDS, key=len, reverse=True)))})([.\[][^`]*)?`")
_TASK: Final = re.compile(r"\btask [`'\"]([\w-]+)[`'\"]")


def in_shell_words(message: str) -> str:
    """The message with commands for methods, and options for fields."""
    task = _TASK.search(message)
    message = _METHOD.sub(lambda method: f"`{COMMANDS[method[1]].format(id=task[1] if task else 'ID')}`", message)
    return _FIELD.sub(_option, message)


def _option(field: "re.Match[str]") -> str:
    rest = (field[2] or "").lstrip(".")
    return f"`{_FIELDS[field[1]]}`" + (f" `{rest}`" if rest else "")
