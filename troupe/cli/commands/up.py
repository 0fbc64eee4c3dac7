"""`troupe up`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from troupe.cli.console import SafeConsole
from troupe.cli.options import DataDirOption
from troupe.cli.session import COMPLETED, INTERRUPTED, finish
from troupe.cli.stacking import StartInterruptedError, gateway_page, stack_on_screen
from troupe.cli.target import target_option
from troupe.core.addresses import HIGHEST_PORT, grpc_target
from troupe.local.settings import LocalSettings
from troupe.local.stack_file import Member


def command(
    data_dir: DataDirOption = None,
    redis_url: Annotated[str | None, typer.Option("--redis-url", help="Use this Redis.", show_default=False)] = None,
    milvus_uri: Annotated[str | None, typer.Option("--milvus-uri", help="Use this Milvus.", show_default=False)] = None,
    triton_url: Annotated[
        str | None, typer.Option("--triton-url", metavar="HOST:PORT", help="Use this Triton.", show_default=False)
    ] = None,
    ports: Annotated[
        list[str] | None,
        typer.Option("--port", metavar="NAME=PORT", help="Have a service listen there.", show_default=False),
    ] = None,
    agents: Annotated[
        list[str] | None,
        typer.Option("--agent", metavar="HOST:PORT", help="Use this agent of your own as well.", show_default=False),
    ] = None,
    free_ports: Annotated[bool, typer.Option("--free-ports", help="Take free ports instead of the usual.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the output of all processes.")] = False,
) -> None:
    """Start everything on this machine; Ctrl-C stops it."""
    given = {
        "data_dir": data_dir,
        "redis_url": redis_url,
        "milvus_uri": milvus_uri,
        "triton_url": triton_url,
        "free_ports": free_ports or None,
    }
    update = {name: value for name, value in given.items() if value is not None}
    finish(_run(update, _ports(ports or []), _agents(agents or []), verbose=verbose))


def _ports(options: Sequence[str]) -> Mapping[str, int]:
    """`NAME=PORT` each."""
    ports = {}
    for option in options:
        name, _, port = option.partition("=")
        if not (name and port.isascii() and port.isdigit() and int(port) <= HIGHEST_PORT):
            raise typer.BadParameter(f"{option!r} is no NAME=PORT, such as gateway=8081", param_hint="--port")
        ports[name.strip()] = int(port)
    return ports


def _agents(options: Sequence[str]) -> Sequence[str]:
    """`HOST:PORT` each, or several between commas."""
    try:
        return [grpc_target(address) for option in options for address in option.split(",")]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--agent") from None


async def _run(given: Mapping[str, object], ports: Mapping[str, int], agents: Sequence[str], *, verbose: bool) -> int:
    settings = LocalSettings.load()
    more = {"ports": {**settings.ports, **ports}, "agents": (*settings.agents, *agents)}
    settings = settings.model_copy(update={**given, **more})
    console = SafeConsole()
    try:
        async with stack_on_screen(settings, console, verbose=verbose) as (supervisor, signals):
            print_addresses(console, settings.folder, supervisor.members)
            await signals.next()
    except StartInterruptedError:
        return INTERRUPTED
    return COMPLETED


def print_addresses(console: Console, folder: Path, members: Mapping[str, Member]) -> None:
    """Says where what is, and what can be done now."""
    orchestrator = members["orchestrator"].address
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("ask", f'troupe run{target_option(orchestrator)} --docs DIR "What does it say about …?"')
    table.add_row("browse", gateway_page(members))
    table.add_row("call", f"grpcurl -plaintext {orchestrator} list")
    table.add_row("logs", str(folder / "logs"))
    console.print()
    console.print(table)
    console.print()
    console.print("Ctrl-C stops everything.", style="dim")
