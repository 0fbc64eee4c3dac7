"""Parses documents in processes of their own.

Parsers are where foreign bytes do most harm: damaged PDFs loop, deeply nested HTML takes minutes, and none of it
can be interrupted in a thread. Each process has a memory bound, each document a time by its size, after which its
process is ended and another started. Projects share the processes fairly, so that one that sends bad documents
holds none of the others.
"""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from troupe.agents.memory.document import SplitPassage
from troupe.agents.memory.errors import UNREADABLE, unreadable
from troupe.agents.memory.parsing.worker import LENGTH
from troupe.agents.memory.turns import Turns
from troupe.core.errors import TroupeError

_START_SECONDS: Final = 120.0
_SECONDS: Final = 5.0  # of processor time for any document
_SECONDS_PER_MIB: Final = 10.0


@dataclass(frozen=True, slots=True)
class SplitDocument:
    """A document's text with its passages; `metadata` says how it was read, such as a guessed encoding."""

    text: str
    title: str
    passages: Sequence[SplitPassage]
    metadata: Mapping[str, str] = field(default_factory=dict)


class Parser:
    """Owns the parsing processes inside its `async with`; they start when they are needed."""

    def __init__(self, *, timeout_seconds: float, memory_bytes: int, processes: int = 2) -> None:
        self._timeout_seconds = timeout_seconds
        self._memory_bytes = memory_bytes
        self._turns = Turns(processes)
        self._idle: list[asyncio.subprocess.Process] = []
        self._processes: set[asyncio.subprocess.Process] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in list(self._processes):
            await self._end(process)

    async def parse(
        self, content: bytes, *, uri: str, media_type: str, charset: str = "", project: str = ""
    ) -> SplitDocument:
        """Text, title and passages. `charset` is the encoding that came with the bytes.

        Raises:
            TroupeError: UNREADABLE_DOCUMENT.
        """
        seconds = self.seconds_for(len(content))
        request = {"uri": uri, "media_type": media_type, "charset": charset, "seconds": seconds}
        async with self._turns.turn(project):
            reply = await self._ask(content, uri, request)
        if "error" in reply:
            raise TroupeError(UNREADABLE, reply["error"], metadata={"uri": uri})
        passages = [SplitPassage(*fields) for fields in reply["passages"]]
        return SplitDocument(reply["text"], reply["title"], passages, reply["metadata"])

    def seconds_for(self, size_bytes: int) -> float:
        """The processor time that a document of this size may take."""
        return min(self._timeout_seconds, _SECONDS + _SECONDS_PER_MIB * size_bytes / (1 << 20))

    async def _ask(self, content: bytes, uri: str, request: Mapping[str, Any]) -> dict[str, Any]:
        process = await self._started(uri)
        answered = False
        try:
            async with asyncio.timeout(self._timeout_seconds):
                reply = await _exchange(process, content, request)
            answered = True
        except TimeoutError:
            raise _too_slow(uri, self._timeout_seconds) from None
        except (asyncio.IncompleteReadError, ConnectionError, RuntimeError):  # uvloop: the pipe is closed already
            await self._end(process)
            if process.returncode == -signal.SIGPROF:
                raise _too_slow(uri, request["seconds"]) from None
            raise unreadable(uri, "its parser crashed; save it anew, or as text") from None
        finally:
            if answered:
                self._idle.append(process)
            else:  # also when cancelled: the process is in the middle of something
                await self._end(process)
        return reply

    async def _started(self, uri: str) -> asyncio.subprocess.Process:
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
            self._processes.discard(process)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "troupe.agents.memory.parsing.worker", str(self._memory_bytes)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self._processes.add(process)
        ready = False
        try:
            async with asyncio.timeout(_START_SECONDS):
                await _reply(process)
            ready = True
        except (TimeoutError, asyncio.IncompleteReadError):
            raise unreadable(uri, "its parser does not start; raise `agents.memory.parse_memory_bytes`") from None
        finally:
            if not ready:
                await self._end(process)
        return process

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        self._processes.discard(process)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _too_slow(uri: str, seconds: float) -> TroupeError:
    return unreadable(uri, f"parsing it takes longer than {seconds:g} s; split it")


async def _exchange(process: asyncio.subprocess.Process, content: bytes, request: Mapping[str, Any]) -> dict[str, Any]:
    assert process.stdin is not None
    head = json.dumps({**request, "size_bytes": len(content)}).encode()
    process.stdin.write(LENGTH.pack(len(head)) + head)
    process.stdin.write(content)
    await process.stdin.drain()
    return await _reply(process)


async def _reply(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    (size,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
    reply: dict[str, Any] = json.loads(await process.stdout.readexactly(size))
    return reply
