"""`troupe agents`."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from troupe.api.orchestrator.v1.orchestrator_service_pb2 import AgentStatus
from troupe.cli.console import SafeConsole
from troupe.cli.json_lines import print_json
from troupe.cli.options import JsonOption, TargetOption
from troupe.cli.session import COMPLETED, with_client
from troupe.cli.streams import say, say_line
from troupe.client import TroupeClient


def command(as_json: JsonOption = False, target: TargetOption = None) -> None:
    """List the agents that steps can name."""

    async def work(client: TroupeClient) -> int:
        agents = await client.agents()
        if as_json:
            for status in agents:
                print_json(status)
        elif agents:
            _print(agents, SafeConsole())
        else:
            say("no agents: the orchestrator has reached none of the servers in its setting `agents`")
        return COMPLETED

    with_client(target, work)


def _print(agents: Sequence[AgentStatus], console: SafeConsole) -> None:
    if console.is_terminal:
        console.print(_table(agents))
        return
    for status in agents:
        what = status.agent.description or status.agent.title
        cells = (status.agent.name, _state(status), status.address, what)
        say_line("\t".join(" ".join(cell.split()) for cell in cells))


def _state(status: AgentStatus) -> str:
    return "available" if status.available else "away"


def _table(agents: Sequence[AgentStatus]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("agent", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("address", no_wrap=True)
    table.add_column("what it does")
    for status in agents:
        state = Text(_state(status), style="green" if status.available else "red")
        table.add_row(status.agent.name, state, status.address, Text(status.agent.description or status.agent.title))
    return table
