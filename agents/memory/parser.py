"""Parses documents in a process of its own.

Parsers are where foreign bytes do most harm: damaged PDFs loop, deeply nested HTML takes minutes, and none of it
can be interrupted in a thread. The process has a memory bound, and is killed and started anew when a document takes
too long.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from agents.memory.document import SplitPassage
from agents.memory.errors import UNREADABLE, unreadable
from agents.memory.parsing.worker import LENGTH
from troupe.core.errors import TroupeError


@dataclass(frozen=True, slots=True)
class SplitDocument:
    """A document's text with its passages."""

    text: str
    title: str
    passages: Sequence[SplitPassage]


class Parser:
    """Owns the parsing process inside its `async with`; documents are parsed one after the other."""

    def __init__(self, *, timeout_seconds: float, memory_bytes: int) -> None:
        self._timeout_seconds = timeout_seconds
        self._memory_bytes = memory_bytes
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._kill()

    async def parse(self, content: bytes, *, uri: str, media_type: str) -> SplitDocument:
        """Text, title and passages.

        Raises:
            TroupeError: UNREADABLE_DOCUMENT.
        """
        async with self._turn:
            reply = await self._ask(content, uri, media_type)
        if "error" in reply:
            raise TroupeError(UNREADABLE, reply["error"], metadata={"uri": uri})
        return SplitDocument(reply["text"], reply["title"], [SplitPassage(*fields) for fields in reply["passages"]])

    async def _ask(self, content: bytes, uri: str, media_type: str) -> dict[str, Any]:
        process = await self._started()
        answered = False
        try:
            async with asyncio.timeout(self._timeout_seconds):
                reply = await _exchange(process, content, uri, media_type)
            answered = True
        except TimeoutError:
            raise unreadable(uri, f"parsing it takes longer than {self._timeout_seconds:g} s; split it") from None
        except (asyncio.IncompleteReadError, ConnectionError, RuntimeError):  # uvloop: the pipe is closed already
            raise unreadable(uri, "its parser crashed; save it anew, or as text") from None
        finally:
            if not answered:  # also when cancelled: the process is in the middle of something
                await self._kill()
        return reply

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "agents.memory.parsing.worker", str(self._memory_bytes)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        return self._process

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _exchange(process: asyncio.subprocess.Process, content: bytes, uri: str, media_type: str) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    request = json.dumps({"uri": uri, "media_type": media_type, "size_bytes": len(content)}).encode()
    process.stdin.write(LENGTH.pack(len(request)) + request)
    process.stdin.write(content)
    await process.stdin.drain()
    (size,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
    reply: dict[str, Any] = json.loads(await process.stdout.readexactly(size))
    return reply
