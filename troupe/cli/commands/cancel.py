"""`troupe cancel`."""

from typing import Annotated

import typer

from troupe.api.orchestrator.v1.orchestrator_service_pb2 import CancelMode
from troupe.cli import words
from troupe.cli.options import TargetOption, TaskIdArgument
from troupe.cli.session import COMPLETED, with_client
from troupe.cli.streams import say
from troupe.client import TroupeClient


def command(
    task_id: TaskIdArgument,
    after_step: Annotated[bool, typer.Option("--after-step", help="Let running steps end first.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the task's history.", show_default=False)] = "",
    target: TargetOption = None,
) -> None:
    """Cancel a task."""
    mode = CancelMode.CANCEL_MODE_AFTER_STEP if after_step else CancelMode.CANCEL_MODE_IMMEDIATE

    async def work(client: TroupeClient) -> int:
        task = await client.cancel(task_id, mode=mode, reason=reason)
        say(f"task {task.task_id} is {words.TASK_STATES.get(task.state, 'cancelled')}")
        return COMPLETED

    with_client(target, work)
