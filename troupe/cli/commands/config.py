"""`troupe config`."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from troupe.cli.console import SafeConsole
from troupe.cli.json_lines import print_record
from troupe.cli.session import COMPLETED, USAGE, finish
from troupe.cli.streams import note_line, say_line
from troupe.client.settings import ClientSettings
from troupe.core.logs import LogSettings
from troupe.core.nearest import suggestion
from troupe.core.settings import SettingsError
from troupe.core.settings_sources import config_path, file_tables
from troupe.core.settings_view import DEFAULT, Section, Value, section_of, unknown_variables
from troupe.core.telemetry.settings import TelemetrySettings
from troupe.local.service_settings import service_sections
from troupe.local.settings import LocalSettings

group = typer.Typer(add_completion=False, no_args_is_help=True, help="Look at the settings.")


@group.callback()
def root() -> None:
    """Look at the settings."""


@group.command()
def show(
    sections: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SECTION]…", help="Such as worker or gateway; else all.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one setting a line.")] = False,
) -> None:
    """Show each setting's value and where it is from: a variable, the file or the default. Secrets are masked."""
    finish(_show(sections or [], as_json=as_json))


async def _show(wanted: Sequence[str], *, as_json: bool) -> int:
    own = [section_of(model) for model in (LogSettings, TelemetrySettings, ClientSettings, LocalSettings)]
    apart = wanted and set(wanted) <= {section.section for section in own}
    every = own if apart else [*await service_sections(), *own]
    names = [section.section for section in every]
    for name in wanted:
        if name not in names:
            raise SettingsError(f"there is no section {name!r}; {suggestion(name, names)}")
    chosen = [section for section in every if not wanted or section.section in wanted]
    values = [value for section in chosen for value in section.values]
    if as_json:
        for value in values:
            print_record(asdict(value))
    else:
        _print(values, SafeConsole())
    for warning in () if apart else _unknown(every, names):
        note_line(f"troupe: {warning}")
    problems = dict.fromkeys(section.problem for section in chosen if section.problem)
    for problem in problems:
        note_line(f"troupe: {problem}")
    return USAGE if problems else COMPLETED


def _print(values: Sequence[Value], console: SafeConsole) -> None:
    if not console.is_terminal:
        for value in values:
            say_line(f"{value.setting}\t{_text(value.value)}\t{value.origin}")
        return
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", overflow="fold")
    for value in values:
        style = "dim" if value.origin == DEFAULT else "green"
        table.add_row(value.setting, Text(_text(value.value)), Text(value.origin, style=style))
    console.print(table)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _unknown(every: Sequence[Section], names: Sequence[str]) -> Iterator[str]:
    yield from unknown_variables([value for section in every for value in section.values])
    try:
        tables = file_tables()
    except SettingsError:  # the sections say so
        return
    for name in tables:
        if name not in names:
            yield f"table [{name}] in {str(config_path())!r} is of no service; {suggestion(name, names)}"
