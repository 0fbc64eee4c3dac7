"""The subcommands; each is imported when it is used."""

from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

# In the order of the help.
COMMANDS: Final = (
    "up",
    "run",
    "watch",
    "tasks",
    "show",
    "cancel",
    "retry",
    "approve",
    "ingest",
    "docs",
    "search",
    "agents",
    "plan",
    "demo",
    "version",
)


class LazyGroup(TyperGroup):
    """Finds the command NAME as `command`, or a group of them as `group`, in `troupe.cli.commands.NAME`."""

    def list_commands(self, _ctx: Any) -> list[str]:
        """The names."""
        return list(COMMANDS)

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:
        """Imports one command, or one group of them."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"troupe.cli.commands.{cmd_name}")
        if hasattr(module, "group"):
            return typer.main.get_command(module.group)
        single = typer.Typer(add_completion=False)
        single.command(cmd_name)(module.command)
        return typer.main.get_command(single)


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Run multi-step AI agent tasks as a durable, typed, streamed gRPC service.",
)


@app.callback()
def root() -> None:
    """Run multi-step AI agent tasks as a durable, typed, streamed gRPC service."""
