"""`troupe approve`."""

from typing import Annotated

import typer

from troupe.cli.options import TargetOption, TaskIdArgument
from troupe.cli.person import person
from troupe.cli.session import COMPLETED, with_client
from troupe.cli.streams import say
from troupe.client import TroupeClient


def command(
    task_id: TaskIdArgument,
    step_id: Annotated[str, typer.Argument(help="The step that waits.", show_default=False)],
    reject: Annotated[bool, typer.Option("--reject", help="Let it fail instead.")] = False,
    comment: Annotated[str, typer.Option("--comment", help="Why, for the task's history.", show_default=False)] = "",
    target: TargetOption = None,
) -> None:
    """Let a step that waits for a person go on, or fail."""

    async def work(client: TroupeClient) -> int:
        await client.resolve_approval(task_id, step_id, approve=not reject, comment=comment, decided_by=person())
        say(f"step {step_id} is {'rejected' if reject else 'approved'}")
        return COMPLETED

    with_client(target, work)
