"""The clients: well-behaved ones, slow ones, and those that leave in the middle."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from tests.bench.soak.sessions import Connect, Session, garbage
from tests.support.gateway import WebConnection
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1 import task_pb2

_CALL_SECONDS: Final = 60
_CALLS_PER_CONNECTION: Final = 50
# What a call may end with while backends are killed.
_EXPECTED: Final = {0: "ok", 14: "unavailable"}


class Load:
    """Clients of every kind, until they are told to stop."""

    def __init__(self, address: str, connect: Connect) -> None:
        self.outcomes: Counter[str] = Counter()
        """How often what happened."""
        self.unexpected: Counter[str] = Counter()
        self.open_calls = 0
        self._address = address
        self._connect = connect
        self._numbers = itertools.count(1)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs them inside the block."""
        kinds: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self._unary, 4),
            (self._slow_stream, 4),
            (self._leave_midway, 3),
            (self._vanish, 3),
            (self._garbage, 2),
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._repeat(kind)) for kind, count in kinds for _ in range(count)]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def _repeat(self, kind: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                async with asyncio.timeout(_CALL_SECONDS):
                    await kind()
            except (OSError, EOFError):
                self.outcomes["connection lost"] += 1
                await asyncio.sleep(0.1)
            except TimeoutError:
                self.unexpected[f"{kind.__name__}: no end after {_CALL_SECONDS} s"] += 1

    async def _unary(self) -> None:
        async with self._connect(self._address) as session:
            for _ in range(_CALLS_PER_CONNECTION):
                number = next(self._numbers)
                async with self._counted("unary", session):
                    async for _ in session.call("GetTask", pb.GetTaskRequest(task_id=f"task-{number}")):
                        pass
                await asyncio.sleep(0.02)

    async def _slow_stream(self) -> None:
        async with self._connect(self._address) as session, self._counted("stream", session):
            async for _ in session.call("RunTask", _stream(300, pad=4000)):
                await asyncio.sleep(0.01)

    async def _leave_midway(self) -> None:
        async with self._connect(self._address) as session:
            self.open_calls += 1
            try:
                parts = session.call("RunTask", _stream(1000, pad=1000))
                for _ in range(next(self._numbers) % 20):
                    await anext(parts)
            except StopAsyncIteration:
                pass
            finally:
                self.open_calls -= 1
        self.outcomes["left midway"] += 1
        await asyncio.sleep(0.1)

    async def _vanish(self) -> None:
        """Reads nothing for a while, then is gone without a word."""
        async with self._connect(self._address) as session:
            self.open_calls += 1
            try:
                with suppress(StopAsyncIteration):
                    await anext(session.call("RunTask", _stream(100_000, pad=1000)))
                await asyncio.sleep(2)
            finally:
                self.open_calls -= 1
                session.abort()
        self.outcomes["vanished"] += 1

    async def _garbage(self) -> None:
        async with WebConnection.open(self._address) as connection:
            connection.writer.write(garbage(next(self._numbers)))
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await connection.reader.read()
        self.outcomes["garbage"] += 1
        await asyncio.sleep(0.1)

    @asynccontextmanager
    async def _counted(self, kind: str, session: Session) -> AsyncIterator[None]:
        self.open_calls += 1
        try:
            yield
        finally:
            self.open_calls -= 1
        outcome = _EXPECTED.get(session.status) if session.status is not None else None
        if outcome is None:
            self.unexpected[f"{kind}: status {session.status}"] += 1
        else:
            self.outcomes[f"{kind} {outcome}"] += 1


def _stream(count: int, *, pad: int) -> pb.RunTaskRequest:
    return pb.RunTaskRequest(task=task_pb2.TaskSpec(input=str(count), labels={"pad": str(pad)}))
