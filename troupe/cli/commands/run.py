"""`troupe run`."""

from pathlib import Path
from typing import Annotated

import typer

from troupe.api.orchestrator.v1.task_pb2 import TaskSpec
from troupe.cli.arguments import some_path
from troupe.cli.console import SafeConsole
from troupe.cli.following import follow_task, progress_for
from troupe.cli.ingesting import ingest_folder
from troupe.cli.interrupts import interrupts
from troupe.cli.json_lines import print_json
from troupe.cli.options import InputArgument, JsonOption, ModelOption, TargetOption, parse_duration, requested
from troupe.cli.session import COMPLETED, USAGE, with_client
from troupe.cli.specifying import PRIORITIES, parse_budget, parse_labels, parse_priority, read_plan
from troupe.cli.streams import InputError, note, say
from troupe.client import Folder, TroupeClient


def command(
    request: InputArgument,
    docs: Annotated[
        Path | None,
        typer.Option(
            "--docs",
            metavar="DIR",
            parser=some_path,
            help="Ingest this folder first and use only it.",
            show_default=False,
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan",
            metavar="FILE",
            help="Run this plan, in JSON as `troupe plan --json` prints it; - is standard input.",
        ),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="KEY=VALUE", help="A mark of your own; repeatable.", show_default=False),
    ] = None,
    priority: Annotated[
        str, typer.Option("--priority", metavar="|".join(PRIORITIES), help="Which of your steps go first.")
    ] = "",
    budget: Annotated[
        list[str] | None,
        typer.Option(
            "--budget",
            metavar="AMOUNT",
            help="The most it may use: 20000tokens, 0.50usd, or both with a comma between.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="TIME", help="Longest time, such as 90s or 5m.", show_default=False)
    ] = "",
    webhook: Annotated[
        str, typer.Option("--webhook", metavar="URL", help="Is called when the task has ended.", show_default=False)
    ] = "",
    request_id: Annotated[
        str,
        typer.Option(
            "--request-id",
            metavar="ID",
            help="Your own id of this request: the same one within 24 hours gets the same task.",
            show_default=False,
        ),
    ] = "",
    detach: Annotated[bool, typer.Option("--detach", help="Submit, print the task's id and leave.")] = False,
    as_json: JsonOption = False,
    model: ModelOption = "",
    target: TargetOption = None,
) -> None:
    """Run a task and show it live. Ctrl-C detaches, a second one cancels."""
    if request == "-" and plan is not None and str(plan) == "-":
        raise InputError("the request and the plan cannot both come from standard input")
    spec = TaskSpec(input=requested(request), model=model, labels=parse_labels(labels or []), webhook_url=webhook)
    if plan is not None:
        spec.plan.CopyFrom(read_plan(plan))
    if priority:
        spec.priority = parse_priority(priority)
    if budget:
        spec.budget.CopyFrom(parse_budget(budget))
    if timeout:
        spec.timeout.FromTimedelta(parse_duration(timeout))

    async def work(client: TroupeClient) -> int:
        if docs is not None:
            folder = Folder.scan(docs)
            spec.memory_filter.update(folder.filter)
            if not await ingest_folder(client, folder, SafeConsole(stderr=as_json or detach)):
                note("troupe: no document could be ingested, so the task was not started")
                return USAGE
        if detach:
            return await _submit(client, spec, request_id=request_id, as_json=as_json)
        async with interrupts() as signals:
            progress = progress_for(as_json=as_json)
            events = client.run(spec, request_id=request_id or None)
            return await follow_task(client, events, progress, signals=signals, cancels=True)

    with_client(target, work)


async def _submit(client: TroupeClient, spec: TaskSpec, *, request_id: str, as_json: bool) -> int:
    task = await client.submit(spec, request_id=request_id or None)
    if as_json:
        print_json(task)
    else:
        say(task.task_id)
        note(f"follow it with: troupe watch {task.task_id}")
    return COMPLETED
