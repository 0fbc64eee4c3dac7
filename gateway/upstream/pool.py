"""The backends: a few long-lived connections to each, opened again when they are lost."""

import asyncio
import os
import random
import re
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from troupe.core.backoff import Backoff
from troupe.core.channels import KEEPALIVE_TIME_MS, KEEPALIVE_TIMEOUT_MS
from troupe.core.logs import get_logger
from troupe.gateway.upstream.connection import BackendConnection
from troupe.gateway.upstream.health import HealthWatch
from troupe.gateway.wire.http2_client import ClientLimits

_FULL: Final = "every connection to the backends has all the streams that it may have; call again later"
_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")
_SILENT: Final = "does not answer"


class Waiting(Protocol):
    """A call that wants a connection."""

    def attach(self, connection: BackendConnection) -> None:
        """Takes a connection that has room."""
        ...

    def refuse(self, message: str) -> None:
        """There is none."""
        ...


@dataclass(frozen=True, slots=True)
class ReconnectPolicy:
    """How often a lost backend is tried."""

    connect_timeout_seconds: float = 2.0
    initial_backoff_seconds: float = 0.1
    max_backoff_seconds: float = 1.0
    min_interval_seconds: float = 0.02
    """Calls that wait make the next attempt come sooner, but not sooner than this."""


@dataclass(eq=False)
class _Slot:
    """A place for one connection."""

    address: str
    connection: BackendConnection | None = None
    watch: HealthWatch | None = None
    problem: str = "not connected yet"
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    beside: "_Slot | None" = None
    """One of the lasting places of the same backend, of a place that is there only because those were full."""

    @property
    def healthy(self) -> bool:
        """Whether it is connected, and the backend does not say that it cannot serve."""
        if self.beside is not None:
            return self.connection is not None and self.beside.healthy
        return self.connection is not None and (self.watch is None or self.watch.healthy)


class BackendPool:
    """Gives each call a connection, in turns among the backends."""

    def __init__(
        self,
        *,
        addresses: Sequence[str],
        connections_per_backend: int,
        limits: ClientLimits,
        reconnect: ReconnectPolicy,
        max_connections_per_backend: int = 0,
    ) -> None:
        """There are more than `connections_per_backend` only while those have all the streams that they may have."""
        self._slots = [_Slot(address) for _ in range(connections_per_backend) for address in addresses]
        self._limits = limits
        self._reconnect = reconnect
        self._max_connections_per_backend = max_connections_per_backend
        self._group: asyncio.TaskGroup
        self._tasks: set[asyncio.Task[None]] = set()
        self._next = 0
        self._waiting: dict[Waiting, set[_Slot]] = {}  # and the places that may still give each a connection

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keeps the connections open inside the block."""
        async with asyncio.TaskGroup() as self._group:
            for slot in self._slots:
                self._run(slot, self._keep(slot))
            try:
                yield
            finally:
                for task in self._tasks:
                    task.cancel()

    def _run(self, slot: _Slot, keeping: Coroutine[None, None, None]) -> None:
        task = self._group.create_task(keeping, name=f"backend {slot.address}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def problems(self) -> dict[str, str]:
        """Why each backend that has no connection has none."""
        connected = {slot.address for slot in self._slots if slot.connection is not None}
        return {slot.address: slot.problem for slot in self._slots if slot.address not in connected}

    @property
    def serving(self) -> bool:
        """Whether any backend is connected."""
        return any(slot.connection is not None for slot in self._slots)

    @property
    def connections(self) -> dict[str, int]:
        """Connections to each backend."""
        return {
            address: sum(slot.connection is not None for slot in self._slots if slot.address == address)
            for address in dict.fromkeys(slot.address for slot in self._slots)
        }

    @property
    def healthy(self) -> dict[str, bool]:
        """Whether each backend is connected and says that it serves."""
        return {
            address: any(slot.healthy for slot in self._slots if slot.address == address)
            for address in dict.fromkeys(slot.address for slot in self._slots)
        }

    def connect(self, call: Waiting) -> None:
        """Attaches the call to a connection now, or when an attempt to connect that runs now has succeeded."""
        connection = self._pick()
        if connection is not None:
            call.attach(connection)
        elif self.serving:
            if (slot := self._one_more()) is not None:
                self._waiting[call] = {slot}
            else:
                call.refuse(_FULL)
        else:
            self._waiting[call] = set(self._slots)
            for slot in self._slots:
                slot.wanted.set()

    def leave(self, call: Waiting) -> None:
        """The call waits no more."""
        self._waiting.pop(call, None)

    def _pick(self) -> BackendConnection | None:
        """The next in turn of a healthy backend; of any, when none is: it says best what is wrong with it.

        None where the healthy ones are full, whatever room the others have.
        """
        unwell: BackendConnection | None = None
        for _ in self._slots:
            self._next = (self._next + 1) % len(self._slots)
            slot = self._slots[self._next]
            connection = slot.connection
            if connection is None or not connection.has_room:
                continue
            if slot.healthy:
                return connection
            unwell = unwell or connection
        return None if any(slot.healthy for slot in self._slots) else unwell

    def _one_more(self) -> _Slot | None:
        """The place that is being opened since the others are full; one at a time."""
        opening = next((slot for slot in self._slots if slot.beside is not None and slot.connection is None), None)
        if opening is not None:
            return opening
        # Where fewest are; a backend that cannot be reached has none, and its own places to try.
        counts = {address: count for address, count in self.connections.items() if count}
        healthy = [address for address, is_healthy in self.healthy.items() if is_healthy]
        address = min(healthy or counts, key=counts.__getitem__)
        if counts[address] >= self._max_connections_per_backend:
            return None
        beside = next(slot for slot in self._slots if slot.address == address and slot.beside is None)
        slot = _Slot(address, beside=beside)
        self._slots.append(slot)
        self._run(slot, self._keep_while_wanted(slot))
        return slot

    async def _keep_while_wanted(self, slot: _Slot) -> None:
        """Until it is lost, or closed by a backend that finds it idle."""
        try:
            connection = await self._attempt(slot)
            if connection is not None:
                await self._hold(slot, connection)
        finally:
            slot.connection = None
            self._slots.remove(slot)
            self._refuse_waiting(slot)

    async def _keep(self, slot: _Slot) -> None:
        policy = self._reconnect
        backoff = Backoff(first_seconds=policy.initial_backoff_seconds, longest_seconds=policy.max_backoff_seconds)
        while True:
            connection = await self._attempt(slot)
            if connection is None:
                self._refuse_waiting(slot)
                await self._back_off(slot, backoff.next_seconds())
                continue
            backoff.restart()
            try:
                await self._hold(slot, connection)
            finally:
                slot.connection = slot.watch = None
                slot.problem = "the connection was lost"
            await asyncio.sleep(policy.min_interval_seconds)

    async def _attempt(self, slot: _Slot) -> BackendConnection | None:
        try:
            async with asyncio.timeout(self._reconnect.connect_timeout_seconds):
                return await BackendConnection.open(slot.address, self._limits)
        except (OSError, TimeoutError) as error:
            problem = _problem(error)
            if slot.problem != problem:
                get_logger().warning("backend cannot be reached", backend=slot.address, problem=problem)
            slot.problem = problem
            return None

    async def _hold(self, slot: _Slot, connection: BackendConnection) -> None:
        slot.connection, slot.problem = connection, ""
        get_logger().info("backend connected", backend=slot.address)
        if slot.beside is None:
            self._watch_health(slot, connection)
        self._attach_waiting()
        try:
            async with asyncio.TaskGroup() as group:
                pinging = group.create_task(_ping(connection), name=f"ping {slot.address}")
                await connection.retired()
                pinging.cancel()
            if slot.watch is not None:
                slot.watch.close()
            connection.close_if_idle()
        except asyncio.CancelledError:
            connection.close()
            raise

    def _watch_health(self, slot: _Slot, connection: BackendConnection) -> None:
        if slot.connection is not connection:
            return
        if connection.has_room:
            slot.watch = HealthWatch(connection, lambda watch: self._watch_again(slot, connection, watch))
        else:
            self._watch_later(slot, connection)

    def _watch_later(self, slot: _Slot, connection: BackendConnection) -> None:
        later = self._reconnect.max_backoff_seconds
        asyncio.get_running_loop().call_later(later, self._watch_health, slot, connection)

    def _watch_again(self, slot: _Slot, connection: BackendConnection, ended: HealthWatch) -> None:
        if slot.watch is ended:
            slot.watch = None
            if ended.told:
                self._watch_later(slot, connection)

    async def _back_off(self, slot: _Slot, seconds: float) -> None:
        slot.wanted.clear()
        await asyncio.sleep(self._reconnect.min_interval_seconds)
        try:
            async with asyncio.timeout(seconds * random.uniform(0.8, 1.2)):  # noqa: S311 - jitter is no secret
                await slot.wanted.wait()
        except TimeoutError:
            return

    def _attach_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for call in waiting:
            self.connect(call)

    def _refuse_waiting(self, failed: _Slot) -> None:
        """Ends calls since whose begin an attempt of every place has failed; others may be under way all the time."""
        for hopes in self._waiting.values():
            hopes.discard(failed)
        message = "; ".join(f"{address}: {problem}" for address, problem in self.problems.items())
        message = f"no backend can be reached ({message}); call again in a moment" if message else _FULL
        for call in [call for call, hopes in self._waiting.items() if not hopes]:
            self.leave(call)
            call.refuse(message)


def _problem(error: OSError) -> str:
    """Why there is no connection, in the system's words; a name may have several addresses."""
    numbers = dict.fromkeys(_ERRNO.findall(str(error)))
    return "; ".join([os.strerror(int(number)) for number in numbers]) or error.strerror or str(error) or _SILENT


async def _ping(connection: BackendConnection) -> None:
    """Closes a connection whose other end is silently gone."""
    while True:
        await asyncio.sleep(KEEPALIVE_TIME_MS / 1000)
        connection.ping()
        await asyncio.sleep(KEEPALIVE_TIMEOUT_MS / 1000)
        if not connection.alive:
            connection.abort("the backend does not answer")
            return
