"""A whole stack as one block."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from troupe.core.addresses import LOOPBACK, HostPort
from troupe.local.errors import StackError
from troupe.local.given import Given
from troupe.local.lock import locked
from troupe.local.plain_path import plain_path
from troupe.local.ports import Ports, read_ports, write_ports
from troupe.local.private import make_private, private_files
from troupe.local.reporting import Reporter
from troupe.local.settings import LocalSettings
from troupe.local.sockets import sockets_folder
from troupe.local.stack import SERVICE_PORTS, Stack, stack_environment
from troupe.local.stack_file import remove_stack
from troupe.local.supervisor import Supervisor


@asynccontextmanager
async def stack_running(settings: LocalSettings, reporter: Reporter) -> AsyncIterator[Supervisor]:
    """Runs the block while the stack of the settings' data directory runs.

    Raises:
        StackError: another stack runs there, or a process cannot be started.
        SettingsError: what the services are told cannot be.
    """
    given = Given.load()
    with (
        private_files(),
        locked(settings.folder),
        plain_path(settings.folder) as folder,
        sockets_folder(folder) as sockets,
    ):
        for note in make_private(settings.folder):
            reporter.note(note)
        remove_stack(settings.folder)
        ports = Ports(
            note=reporter.note,
            wanted=_wanted(settings, given),
            last=read_ports(settings.folder),
            prefer_usual=not settings.free_ports,
        )
        stack = Stack(settings, given, ports, folder=folder, sockets=sockets)
        for note in stack.notes:
            reporter.note(note)
        supervisor = Supervisor(
            stack.programs(),
            folder=settings.folder,
            env=stack_environment(),
            reporter=reporter,
            start_seconds=settings.start_seconds,
            log_bytes=settings.log_bytes,
        )
        write_ports(settings.folder, ports.taken)
        async with supervisor.running():
            make_private(settings.folder)  # what was copied has the modes of what it was copied from
            yield supervisor


def _wanted(settings: LocalSettings, given: Given) -> Mapping[str, HostPort]:
    """Where services shall listen: a port of the stack's own settings goes before one of the service's."""
    for name in settings.ports:
        if name not in SERVICE_PORTS:
            raise StackError(f"no port can be chosen for {name!r}, only for {', '.join(SERVICE_PORTS)}{_why(name)}")
    chosen = {name: HostPort(_host(name, given), port) for name, port in settings.ports.items()}
    return {**given.listen, **chosen}


def _host(name: str, given: Given) -> str:
    return given.listen[name].host if name in given.listen else LOOPBACK


def _why(name: str) -> str:
    if name not in {"redis", "milvus", "triton"}:
        return ""
    return f"; {name} listens on a socket that no other user can open, or is one of yours by its address"
