"""Runs a local stack in the foreground."""

import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from rich.console import Console
from rich.text import Text

from troupe.cli import words
from troupe.cli.interrupts import Interrupts, interrupts
from troupe.cli.screen import Screen
from troupe.core.background import background
from troupe.core.extras import lacking
from troupe.local.errors import StackError
from troupe.local.settings import LocalSettings
from troupe.local.stack_file import Member
from troupe.local.supervisor import Supervisor
from troupe.local.up import stack_running

_SERVICES: Final = ("agents", "gateway", "inference", "orchestrator")


class StartInterruptedError(Exception):
    """The person stopped the stack while it was starting."""


@asynccontextmanager
async def stack_on_screen(
    settings: LocalSettings, console: Console, *, verbose: bool
) -> AsyncIterator[tuple[Supervisor, Interrupts]]:
    """Runs the block while the stack runs; Ctrl-C and SIGTERM reach the block through the interrupts.

    A signal during the start stops it, one while the stack stops ends it at once.

    Raises:
        StackError: it cannot start here.
    """
    _require(settings)
    screen = Screen(console, verbose=verbose)
    began = time.monotonic()
    async with interrupts((signal.SIGINT, signal.SIGTERM, signal.SIGHUP)) as signals:
        stack = stack_running(settings, screen)
        console.print(Text(f"starting in {settings.folder}", style="dim"), soft_wrap=True)
        supervisor = await signals.unless(stack.__aenter__())
        if supervisor is None:
            console.print(Text("stopped before all processes were ready", style="dim"))
            raise StartInterruptedError
        try:
            screen.all_ready()
            took = words.duration(time.monotonic() - began)
            console.print(Text(f"{len(supervisor.members)} processes ready in {took}", style="green"))
            yield supervisor, signals
        finally:
            screen.stopping()
            console.print(Text("stopping", style="dim"))
            async with background(_kill_on_signal(signals, supervisor)):
                await stack.__aexit__(None, None, None)
            console.print(Text("stopped", style="dim"))


def gateway_page(members: Mapping[str, Member]) -> str:
    """Where a browser finds the stack."""
    gateway = members["gateway"]
    return f"{'https' if gateway.kind == 'https' else 'http'}://{gateway.address}/"


def _require(settings: LocalSettings) -> None:
    """What a stack runs must be installed: the services, and its own servers unless others are given."""
    elsewhere = all((settings.redis_url, settings.milvus_uri, settings.triton_url))
    if problem := lacking(*(_SERVICES if elsewhere else ("local",))):
        raise StackError(problem)


async def _kill_on_signal(signals: Interrupts, supervisor: Supervisor) -> None:
    await signals.next()
    supervisor.kill()
