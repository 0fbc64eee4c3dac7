"""Why a stack cannot run."""


class StackError(Exception):
    """The stack cannot start or go on; the message says why and what to do."""


class ServerNotFoundError(Exception):
    """A server's program is not on this machine; the message says how to get it."""
