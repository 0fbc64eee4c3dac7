"""`troupe retry`."""

from troupe.cli.options import TargetOption, TaskIdArgument
from troupe.cli.session import COMPLETED, with_client
from troupe.cli.streams import say
from troupe.client import TroupeClient


def command(task_id: TaskIdArgument, target: TargetOption = None) -> None:
    """Take up a failed task from its failed steps."""

    async def work(client: TroupeClient) -> int:
        task = await client.retry(task_id)
        say(f"task {task.task_id} goes on; `troupe watch {task.task_id}` follows it")
        return COMPLETED

    with_client(target, work)
