"""Keeps the programs of a stack running, and stops them."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from troupe.local.errors import StackError
from troupe.local.keeper import Keeper
from troupe.local.log_file import rotate
from troupe.local.program import Program
from troupe.local.reaping import reaping
from troupe.local.reporting import Reporter
from troupe.local.stack_file import Member, remove_stack, write_stack


class Supervisor:
    """Runs programs in one data directory, which the caller holds."""

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        folder: Path,
        env: Mapping[str, str],
        reporter: Reporter,
        start_seconds: float,
        log_bytes: int,
    ) -> None:
        """`programs` are in the order of their start; they stop in reverse."""
        self._programs = programs
        self._folder = folder
        self._env = env
        self._reporter = reporter
        self._start_seconds = start_seconds
        self._log_bytes = log_bytes
        self._keepers: list[Keeper] = []
        self._complete = False

    @property
    def members(self) -> dict[str, Member]:
        """What runs where."""
        return {k.program.name: Member(k.pid, k.program.address, k.program.kind) for k in self._keepers}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Starts the programs, runs the block once all are ready, and stops them at its end.

        Raises:
            StackError: a program cannot be started, or is not ready in time.
        """
        async with AsyncExitStack() as stack:
            reaper = await stack.enter_async_context(reaping())
            for program in self._programs:
                log = self._folder / "logs" / f"{program.name}.log"
                if program.make is not None:  # what runs elsewhere prints elsewhere
                    rotate(log, self._log_bytes)
                keeper = Keeper(
                    program,
                    env=self._env,
                    log=log,
                    reaper=reaper,
                    reporter=self._reporter,
                    on_start=self._write,
                )
                running = asyncio.create_task(self._run(keeper), name=program.name)
                self._keepers.append(keeper)
                stack.push_async_callback(keeper.stop, running)
            await self._until_ready()
            self._complete = True
            self._write()
            stack.callback(self._finish)
            yield

    def kill(self) -> None:
        """Ends all processes at once; `running` then returns soon."""
        for keeper in self._keepers:
            keeper.kill()

    async def _run(self, keeper: Keeper) -> None:
        needed = [k.ready for k in self._keepers if k.program.name in keeper.program.needs]
        if needed:
            await asyncio.wait(needed)
        await keeper.run()

    async def _until_ready(self) -> None:
        required = [keeper for keeper in self._keepers if not keeper.program.optional]
        try:
            async with asyncio.timeout(self._start_seconds):
                await asyncio.gather(*(keeper.ready for keeper in required))
        except TimeoutError:
            late = [keeper.explain() for keeper in required if not _is_ready(keeper)]
            raise StackError(f"not ready after {self._start_seconds:g} s:\n" + "\n".join(late)) from None
        for keeper in self._keepers:
            if not keeper.ready.done():
                self._reporter.note(f"{keeper.program.name} does not answer yet: all else runs, and it is waited for")

    def _write(self) -> None:
        if self._complete:
            write_stack(self._folder, self.members)

    def _finish(self) -> None:
        self._complete = False
        remove_stack(self._folder)


def _is_ready(keeper: Keeper) -> bool:
    return keeper.ready.done() and not keeper.ready.cancelled() and keeper.ready.exception() is None
