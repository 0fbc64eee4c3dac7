"""`troupe version`."""

from importlib.metadata import version


def command() -> None:
    """Print the version."""
    print(f"troupe {version('troupe')}")
