"""`troupe version`."""

from importlib.metadata import version

from troupe.cli.streams import say


def command() -> None:
    """Print the version."""
    say(f"troupe {version('troupe')}")
