"""Who sits in front of the terminal."""

import getpass
import os

_MAX_CHARS = 256  # as the contract of `ResolveApprovalRequest.decided_by` has it


def person() -> str:
    """The name of the user; the number where the machine knows none, as in containers."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"user {os.getuid()}"
    return name.encode(errors="replace").decode()[:_MAX_CHARS]
