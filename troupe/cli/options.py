"""Options that several commands have."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from troupe.cli.streams import read_input

_MAX_REQUEST_BYTES: Final = 256 << 10  # as the contract of `TaskSpec.input` has it
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="HOST:PORT",
        help="The orchestrator. Else TROUPE_CLIENT__TARGET, else the local stack, else 127.0.0.1:50051.",
        show_default=False,
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", metavar="DIR", help="The stack's data directory [default: ~/.troupe]", show_default=False
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print ProtoJSON, one message a line.")]
ModelOption = Annotated[str, typer.Option("--model", help="The model that the agents shall use.", show_default=False)]
TaskIdArgument = Annotated[str, typer.Argument(metavar="ID", help="The task.", show_default=False)]
InputArgument = Annotated[
    str, typer.Argument(metavar="REQUEST", help="What to do; - reads it from standard input.", show_default=False)
]


def requested(argument: str) -> str:
    """The request: the argument, or what stands on standard input."""
    return read_input("the request", max_bytes=_MAX_REQUEST_BYTES) if argument == "-" else argument


def parse_duration(text: str) -> timedelta:
    """Reads `90`, `90s`, `5m`, `2h` or `1d`."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    try:
        seconds = float(number) * _UNITS[unit]
        duration = timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise typer.BadParameter(f"{text!r} is no duration above zero, such as 90s, 5m or 2h")
    return duration
