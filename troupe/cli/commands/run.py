"""`troupe run`."""

from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.duration_pb2 import Duration

from troupe.api.orchestrator.v1.task_pb2 import TaskSpec
from troupe.cli.console import SafeConsole
from troupe.cli.following import follow_task, progress_for
from troupe.cli.ingesting import ingest_folder
from troupe.cli.interrupts import interrupts
from troupe.cli.json_lines import print_json
from troupe.cli.options import InputArgument, JsonOption, ModelOption, TargetOption, parse_duration, requested
from troupe.cli.session import COMPLETED, USAGE, with_client
from troupe.cli.streams import note, say
from troupe.client import Folder, TroupeClient


def command(
    request: InputArgument,
    docs: Annotated[
        Path | None,
        typer.Option("--docs", metavar="DIR", help="Ingest this folder first and use only it.", show_default=False),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Submit, print the task's id and leave.")] = False,
    as_json: JsonOption = False,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="TIME", help="Longest time, such as 90s or 5m.", show_default=False)
    ] = "",
    model: ModelOption = "",
    target: TargetOption = None,
) -> None:
    """Run a task and show it live. Ctrl-C detaches, a second one cancels."""
    spec = TaskSpec(input=requested(request), model=model)
    if timeout:
        limit = Duration()
        limit.FromTimedelta(parse_duration(timeout))
        spec.timeout.CopyFrom(limit)

    async def work(client: TroupeClient) -> int:
        if docs is not None:
            folder = Folder.scan(docs)
            spec.memory_filter.update(folder.filter)
            if not await ingest_folder(client, folder, SafeConsole(stderr=as_json or detach)):
                note("troupe: no document could be ingested, so the task was not started")
                return USAGE
        if detach:
            return await _submit(client, spec, as_json=as_json)
        async with interrupts() as signals:
            progress = progress_for(as_json=as_json)
            return await follow_task(client, client.run(spec), progress, signals=signals, cancels=True)

    with_client(target, work)


async def _submit(client: TroupeClient, spec: TaskSpec, *, as_json: bool) -> int:
    task = await client.submit(spec)
    if as_json:
        print_json(task)
    else:
        say(task.task_id)
        note(f"follow it with: troupe watch {task.task_id}")
    return COMPLETED
