"""Why a stack cannot run."""


class StackError(Exception):
    """The stack cannot start or go on; the message says why and what to do."""
