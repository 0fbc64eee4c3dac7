"""`troupe demo`."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from troupe.api.orchestrator.v1.task_pb2 import TaskSpec
from troupe.cli.console import SafeConsole
from troupe.cli.following import follow_task, progress_for
from troupe.cli.ingesting import ingest_folder
from troupe.cli.interrupts import Interrupts
from troupe.cli.session import INTERRUPTED, USAGE, finish
from troupe.cli.stacking import StartInterruptedError, gateway_page, stack_on_screen
from troupe.cli.target import target_option
from troupe.client import ClientSettings, Folder, TroupeClient
from troupe.local.settings import LocalSettings

_QUESTION: Final = (
    "What happens when a worker dies? What happens when Redis dies? How does the gateway forward messages?"
)


def command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]…", help="Documents, inside the working directory.", show_default=False),
    ] = None,
    question: Annotated[str, typer.Option("--question", help="What to ask about them.")] = _QUESTION,
    data_dir: Annotated[Path, typer.Option("--data-dir", metavar="DIR", help="Data and logs of the demo.")] = Path(
        "~/.troupe-demo"
    ),
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the output of all processes.")] = False,
) -> None:
    """Start everything, ask one question about some documents, and stop."""
    settings = LocalSettings.load().model_copy(update={"data_dir": data_dir})
    finish(_demo(settings, Folder.scan(Path.cwd(), only=paths or []), question, verbose=verbose))


async def _demo(settings: LocalSettings, folder: Folder, question: str, *, verbose: bool) -> int:
    console = SafeConsole()
    try:
        async with stack_on_screen(settings, console, verbose=verbose) as (supervisor, signals):
            members = supervisor.members
            client_settings = ClientSettings.load().model_copy(update={"target": members["orchestrator"].address})
            async with TroupeClient(settings=client_settings) as client:
                code = await signals.unless(_ask(client, folder, question, console))
            if code is None:
                return INTERRUPTED
    except StartInterruptedError:
        return INTERRUPTED
    _how_to_go_on(console, Path(sys.argv[0]), gateway_page(members), members["orchestrator"].address)
    return code


async def _ask(client: TroupeClient, folder: Folder, question: str, console: Console) -> int:
    if not await ingest_folder(client, folder, console):
        return USAGE
    console.print(Text(f"\n{question}", style="bold"))
    spec = TaskSpec(input=question, memory_filter=folder.filter)
    progress = progress_for(as_json=False, console=console)
    return await follow_task(client, client.run(spec), progress, signals=Interrupts())


def _how_to_go_on(console: Console, program: Path, page: str, orchestrator: str) -> None:
    troupe = program if program.name == "troupe" else Path("troupe")
    steps = [
        ("start it for good", f"{troupe} up"),
        ("ask about your own documents", f'{troupe} run{target_option(orchestrator)} --docs DIR "What …?"'),
        ("see the gateway's page", page),
        ("call it from anywhere", f"grpcurl -plaintext {orchestrator} list"),
    ]
    console.print(Rule(style="dim"))
    for what, how in steps:
        console.print(Text.assemble((f"{what + ':':<30}", "dim"), how), soft_wrap=True)
