"""The entry point of the `troupe` command."""

import os
import sys


def main() -> None:
    """Runs the command line. `troupe version` does without the argument parser, whose import takes 0.2 s."""
    if sys.argv[1:] in (["version"], ["--version"]):
        from troupe.cli.commands.version import command  # noqa: PLC0415 - see above

        command()
        return
    from troupe.cli.app import app  # noqa: PLC0415 - see above

    try:
        app()
    except BrokenPipeError:  # whoever read our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
