"""`troupe plan`."""

from rich.table import Table
from rich.text import Text

from troupe.api.orchestrator.v1.task_pb2 import Plan, TaskSpec
from troupe.cli import words
from troupe.cli.console import SafeConsole
from troupe.cli.json_lines import print_json
from troupe.cli.options import InputArgument, JsonOption, ModelOption, TargetOption, requested
from troupe.cli.session import COMPLETED, with_client
from troupe.cli.streams import say_line
from troupe.client import TroupeClient


def command(
    request: InputArgument, model: ModelOption = "", as_json: JsonOption = False, target: TargetOption = None
) -> None:
    """Show the plan that a request would get; run nothing."""
    spec = TaskSpec(input=requested(request), model=model)

    async def work(client: TroupeClient) -> int:
        plan = await client.plan(spec)
        if as_json:
            print_json(plan)
        else:
            _print(plan, SafeConsole())
        return COMPLETED

    with_client(target, work)


def _print(plan: Plan, console: SafeConsole) -> None:
    made = words.PLANNERS.get(plan.planner, "")
    rows = [
        (step.step_id, step.agent, ", ".join(step.depends_on), step.title or words.first_line(step.instruction))
        for step in plan.steps
    ]
    if not console.is_terminal:
        for row in rows:
            say_line("\t".join(" ".join(cell.split()) for cell in row))
        return
    console.print(Text(f"{words.plural(len(plan.steps), 'step')}, planned {made}".rstrip()))
    if plan.rationale:
        console.print(Text(plan.rationale, style="dim"))
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("step", no_wrap=True)
    table.add_column("agent", no_wrap=True)
    table.add_column("after")
    table.add_column("what it does")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
