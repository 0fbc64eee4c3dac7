"""A whole stack as one block."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from troupe.local.lock import locked
from troupe.local.plain_path import plain_path
from troupe.local.ports import Ports
from troupe.local.reporting import Reporter
from troupe.local.settings import LocalSettings
from troupe.local.stack import stack_environment, stack_programs
from troupe.local.stack_file import remove_stack
from troupe.local.supervisor import Supervisor


@asynccontextmanager
async def stack_running(settings: LocalSettings, reporter: Reporter) -> AsyncIterator[Supervisor]:
    """Runs the block while the stack of the settings' data directory runs.

    Raises:
        StackError: another stack runs there, or a process cannot be started.
    """
    with locked(settings.folder), plain_path(settings.folder) as folder:
        remove_stack(settings.folder)
        ports = Ports(note=reporter.note, prefer_usual=not settings.free_ports)
        supervisor = Supervisor(
            stack_programs(settings, ports, folder=folder),
            folder=settings.folder,
            env=stack_environment(),
            reporter=reporter,
            start_seconds=settings.start_seconds,
            log_bytes=settings.log_bytes,
        )
        async with supervisor.running():
            yield supervisor
