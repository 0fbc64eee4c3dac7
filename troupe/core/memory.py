"""Memory that is free but still the process's: given back to the system.

glibc keeps what was freed for the next one who wants it, and gives back only what happens to lie at the end of its
heaps. After thousands of streams that held a message each, that is nothing, and gigabytes stay until the process ends.
"""

import asyncio
import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

_LOOK_SECONDS: Final = 1.0
_WORTH_BYTES: Final = 16 << 20
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Allocator(Protocol):
    """What keeps the memory."""

    def used_bytes(self) -> int:
        """What is in use of what it got from the system."""
        ...

    def trim(self) -> None:
        """Gives back what is free."""
        ...


class _Mallinfo2(ctypes.Structure):
    """https://man7.org/linux/man-pages/man3/mallinfo.3.html."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


class Glibc:
    """The allocator of the C library."""

    def __init__(self) -> None:
        """Raises AttributeError where the C library is another, or older than 2.33."""
        library = ctypes.CDLL(None)
        self._info: Callable[[], _Mallinfo2] = library.mallinfo2
        library.mallinfo2.restype = _Mallinfo2
        self._trim: Callable[[int], int] = library.malloc_trim

    def used_bytes(self) -> int:
        info = self._info()
        used: int = info.uordblks + info.hblkhd
        return used

    def trim(self) -> None:
        self._trim(0)


class Trimming:
    """Decides when it is worth while."""

    def __init__(self, allocator: Allocator, *, resident_bytes: Callable[[], int]) -> None:
        self._allocator = allocator
        self._resident_bytes = resident_bytes
        self._floor_bytes = self._idle_bytes()

    def is_due(self) -> bool:
        """Whether much more is resident, and not in use, than the last time."""
        idle = self._idle_bytes()
        self._floor_bytes = min(self._floor_bytes, idle)
        return idle - self._floor_bytes >= _WORTH_BYTES

    def trim(self) -> None:
        """Gives back; what cannot be is not asked for again until there is as much more."""
        self._allocator.trim()
        self._floor_bytes = self._idle_bytes()

    def _idle_bytes(self) -> int:
        return self._resident_bytes() - self._allocator.used_bytes()


async def give_back_memory() -> None:
    """Looks now and then until it is cancelled."""
    try:
        trimming = Trimming(Glibc(), resident_bytes=resident_bytes)
    except AttributeError:
        return
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if trimming.is_due():
            await asyncio.to_thread(trimming.trim)


def resident_bytes() -> int:
    """What the process has in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
