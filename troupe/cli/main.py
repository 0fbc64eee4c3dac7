"""The entry point of the `troupe` command: whatever happens ends with one line and an exit code."""

import sys
from pathlib import Path
from typing import Final

from troupe.cli.streams import InputError, OutputLostError, note_line, prepare_streams

COMPLETED: Final = 0
USAGE: Final = 2
INTERRUPTED: Final = 130


def main() -> None:
    """Runs the command line."""
    prepare_streams()
    try:
        code = _run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except OutputLostError as error:
        code = _lost(error)
    except InputError as error:
        note_line(f"troupe: {error}")
        code = USAGE
    except Exception as error:  # noqa: BLE001 - the edge: nobody is to read a traceback
        note_line(f"troupe: {_told(error)}")
        code = USAGE
    sys.exit(code)


def _run() -> int:
    """`troupe version` does without the argument parser, whose import takes 0.2 s."""
    if sys.argv[1:] in (["version"], ["--version"]):
        from troupe.cli.commands.version import command  # noqa: PLC0415 - see above

        command()
        return COMPLETED
    from troupe.cli.app import run_app  # noqa: PLC0415 - see above

    return run_app()


def _lost(error: OutputLostError) -> int:
    """Whoever read our output has gone, as `| head` does, which is as it should be; all else is a failure."""
    if not str(error):
        return COMPLETED
    note_line(f"troupe: {error}")
    return USAGE


def _told(error: Exception) -> str:
    """What a person is told: of an error that a command expects, its message."""
    from troupe.cli.session import told  # noqa: PLC0415 - see above

    return told(error) or f"this is a mistake in troupe, please report it: {_described(error)}"


def _described(error: Exception) -> str:
    """What was raised, and where, on one line."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f" ({Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno})" if frame is not None else ""
    return " ".join(f"{type(error).__name__}: {error}".split()) + where
