"""Projects: what tasks and documents of one team are kept apart by."""

from typing import Final

DEFAULT_PROJECT: Final = "default"
"""Whose a call is that names no project."""
