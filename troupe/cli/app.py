"""The subcommands; each is imported when it is used."""

from importlib import import_module
from typing import Any, Final, cast

import typer
from typer.core import TyperGroup

from troupe.cli.arguments import take_text
from troupe.cli.streams import note, say

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
    "models",
    "generate",
    "plan",
    "status",
    "logs",
    "down",
    "config",
    "demo",
    "version",
)
_INTERRUPTED: Final = 130
# The parser's error for all that is wrong with arguments; typer exports its subclass only.
_WrongArgument: Final = cast("type[Exception]", typer.BadParameter.__mro__[2])


class LazyGroup(TyperGroup):
    """Finds the command NAME as `command` in `troupe.cli.commands.NAME`, or commands of its own as `group`."""

    def list_commands(self, _ctx: Any) -> list[str]:
        """The names."""
        return list(COMMANDS)

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:
        """Imports one command, or one group of them."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"troupe.cli.commands.{cmd_name}")
        group = getattr(module, "group", None)
        if group is None:
            group = typer.Typer(add_completion=False)
            group.command(cmd_name)(module.command)
        command: Any = typer.main.get_command(group)
        command.name = cmd_name  # a group has none of its own
        for each in (command, *getattr(command, "commands", {}).values()):
            for parameter in each.params:
                take_text(parameter)
        return command


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


def run_app() -> int:
    """Runs the command that the arguments name; returns the exit code. A wrong argument is told in one line."""
    try:
        return int(app(standalone_mode=False) or 0)
    except typer.Abort:
        return _INTERRUPTED
    except _WrongArgument as error:
        return _refuse(error)


def _refuse(error: Any) -> int:
    context = error.ctx
    if type(error).__name__ == "NoArgsIsHelpError":
        if error.message:  # else the help was printed as it was made
            say(error.message)
    else:
        where = context.command_path if context is not None else "troupe"
        message = " ".join(error.format_message().split()).rstrip(".")
        note(f"troupe: {message} (`{where} --help` shows what it takes)")
    return int(error.exit_code)
