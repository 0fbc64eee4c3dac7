"""`troupe watch`."""

from typing import Annotated

import typer

from troupe.cli.following import follow_task, progress_for
from troupe.cli.interrupts import interrupts
from troupe.cli.options import JsonOption, TargetOption, TaskIdArgument
from troupe.cli.session import with_client
from troupe.client import TroupeClient


def command(
    task_id: TaskIdArgument,
    after: Annotated[int, typer.Option("--after", metavar="N", min=0, help="Only events after this sequence.")] = 0,
    as_json: JsonOption = False,
    target: TargetOption = None,
) -> None:
    """Show a task: what has happened, then live."""

    async def work(client: TroupeClient) -> int:
        events = client.watch(task_id, after_sequence=after)
        async with interrupts() as signals:
            return await follow_task(client, events, progress_for(as_json=as_json), signals=signals)

    with_client(target, work)
