"""Keeps one program running."""

import asyncio
import glob
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from troupe.core.backoff import Backoff
from troupe.local.errors import ServerNotFoundError, StackError
from troupe.local.launch import Launch
from troupe.local.log_file import last_lines, size
from troupe.local.private import close_to_others
from troupe.local.process import Process
from troupe.local.program import Program
from troupe.local.reaper import remove
from troupe.local.reaping import Reaper
from troupe.local.reporting import Reporter

_POLL_SECONDS: Final = 0.1
_EARLY_CRASHES: Final = 3
# How our services end when their settings are wrong: to start them again would change nothing.
_CANNOT_START: Final = "exited with code 2"


class RestartDelays:
    """Waits between restarts: doubling, from the first again once the process has lived for a while."""

    def __init__(self, *, first_seconds: float = 0.2, longest_seconds: float = 10, healthy_seconds: float = 30) -> None:
        self._backoff = Backoff(first_seconds=first_seconds, longest_seconds=longest_seconds)
        self._healthy_seconds = healthy_seconds

    def after(self, lived_seconds: float) -> float:
        """How long to wait when the process has lived so long."""
        if lived_seconds >= self._healthy_seconds:
            self._backoff.restart()
        return self._backoff.next_seconds()


class Keeper:
    """Starts a program, waits until it is ready, starts it again when it dies, and stops it."""

    def __init__(
        self,
        program: Program,
        *,
        env: Mapping[str, str],
        log: Path,
        reaper: Reaper,
        reporter: Reporter,
        on_start: Callable[[], None],
    ) -> None:
        """`on_start` is called whenever the pid has changed."""
        self.program = program
        self.log = log
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.problem = "has not been asked yet"
        self._env = env
        self._reaper = reaper
        self._reporter = reporter
        self._on_start = on_start
        self._process: Process | None = None
        self._log_start = 0
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process, or the last one."""
        return self._process.pid if self._process else None

    async def run(self) -> None:
        """Returns when the program has been stopped, or cannot be started: `ready` then holds why."""
        try:
            if self.program.prepare is not None:
                await self._prepare(self.program.prepare)
            if self.program.make is None:
                await self._probe_until_ready()
            else:
                await self._keep(self.program.make)
        except (StackError, ServerNotFoundError, OSError) as error:
            if not self.ready.done():
                self.ready.set_exception(StackError(f"{self.program.name}: {error}"))

    async def stop(self, running: "asyncio.Task[None]") -> None:
        """Ends the process: SIGTERM, then SIGKILL for the group when its grace is over. `running` runs `run`."""
        self._stopping.set()
        if self._process is None:
            running.cancel()
        else:
            self._process.terminate()
        await asyncio.wait([running], timeout=self.program.grace_seconds)
        self.kill()
        await asyncio.wait([running])
        if self.program.make is not None:
            self._reporter.stopped(self.program)

    def kill(self) -> None:
        """Ends the process at once."""
        self._stopping.set()
        if self._process is not None:
            self._process.kill()

    async def _prepare(self, launch: Launch) -> None:
        self._log_start = size(self.log)
        self._process = await Process.start(launch, env=self._env, reaper=self._reaper)
        ended = await self._process.wait(self.log, self._on_line)
        self._process = None
        if ended != "exited with code 0" and not self._stopping.is_set():
            raise StackError(self._with_tail(f"its preparation {ended}"))

    async def _keep(self, make: Callable[[], Launch]) -> None:
        delays = RestartDelays()
        crashes = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            ended = await self._run_once(make)
            if self._stopping.is_set():
                return
            if not self.ready.done() and ended == _CANNOT_START and (said := self._tail()):
                raise StackError(said[-1].removeprefix(f"{self.program.name}: "))
            crashes += 1
            if not self.ready.done() and crashes == _EARLY_CRASHES:
                raise StackError(self._with_tail(f"{ended} {crashes} times in a row before it was ready"))
            delay = delays.after(time.monotonic() - started)
            self._reporter.died(self.program, ended, delay, self._tail())
            await self._sleep(delay)

    async def _run_once(self, make: Callable[[], Launch]) -> str:
        self._reporter.starting(self.program)
        launch = await asyncio.to_thread(make)
        self._log_start = size(self.log)
        self._process = await Process.start(launch, env=self._env, reaper=self._reaper)
        if self.program.leftovers:
            self._reaper.remove_at_end(self.program.leftovers)
        self._on_start()
        async with asyncio.TaskGroup() as group:
            meanwhile = [group.create_task(self._probe_until_ready())]
            if self.program.leftovers:
                meanwhile.append(group.create_task(self._close_leftovers()))
            ended = await self._process.wait(self.log, self._on_line)
            for task in meanwhile:
                task.cancel()
        if self.program.leftovers:
            remove(self.program.leftovers)
        return ended

    async def _probe_until_ready(self) -> None:
        started = time.monotonic()
        while True:
            try:
                await self.program.probe()
            except (OSError, TimeoutError) as error:
                self.problem = str(error) or "does not answer"
            else:
                break
            await asyncio.sleep(_POLL_SECONDS)
        if not self.ready.done():
            self.ready.set_result(None)
        self._reporter.ready(self.program, time.monotonic() - started)

    async def _close_leftovers(self) -> None:
        """Boost gives shared memory its mode after the umask did, so that every user could read what models get."""
        while True:
            for path in glob.glob(self.program.leftovers):  # noqa: PTH207 - patterns are absolute
                close_to_others(Path(path))
            await asyncio.sleep(_POLL_SECONDS)

    async def _sleep(self, seconds: float) -> None:
        """Waits, unless the program is being stopped."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    def explain(self) -> str:
        """Why it is not ready, with the end of its log."""
        return self._with_tail(f"{self.program.name} at {self.program.address} is not ready: {self.problem}")

    def _tail(self) -> list[str]:
        return last_lines(self.log, since=self._log_start)

    def _with_tail(self, problem: str) -> str:
        tail = "".join(f"\n    {line}" for line in self._tail())
        return f"{problem}; the end of {str(self.log)!r}:{tail or ' (empty)'}"

    def _on_line(self, text: str) -> None:
        self._reporter.line(self.program.name, text)
