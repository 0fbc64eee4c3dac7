"""The logs of a stack as they grow."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_BLOCK_BYTES: Final = 1 << 16
_SUFFIX: Final = ".log"


def log_files(folder: Path) -> dict[str, Path]:
    """The newest log of each process of a data directory, by name."""
    return {path.name.removesuffix(_SUFFIX): path for path in sorted((folder / "logs").glob(f"*{_SUFFIX}"))}


class LogTail:
    """Reads the end of a log, and then whatever is added to it, whole lines at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None
        self._offset = 0
        self._rest = b""

    def last(self, count: int) -> list[str]:
        """The last lines that are there; reading goes on behind them."""
        try:
            with self._path.open("rb") as log:
                size = self._open(log.fileno())
                start, found = size, b""
                while start and found.count(b"\n") <= count:
                    step = min(_BLOCK_BYTES, start)
                    start -= step
                    log.seek(start)
                    found = log.read(step) + found
        except OSError:
            return []
        self._offset = size
        *lines, self._rest = found.split(b"\n")
        return [_text(line) for line in lines[len(lines) - min(count, len(lines)) :]]

    def added(self) -> Iterator[str]:
        """The lines that came since; from the start of a new file when the old one was moved aside or cut."""
        try:
            with self._path.open("rb") as log:
                size = self._open(log.fileno())
                if size < self._offset:
                    self._offset, self._rest = 0, b""
                log.seek(self._offset)
                while block := log.read(_BLOCK_BYTES):
                    self._offset += len(block)
                    *lines, self._rest = (self._rest + block).split(b"\n")
                    yield from map(_text, lines)
        except FileNotFoundError:
            return

    def _open(self, descriptor: int) -> int:
        """Its size; another file than the last time is read from its start."""
        status = os.fstat(descriptor)
        identity = (status.st_dev, status.st_ino)
        if self._identity not in (None, identity):
            self._offset, self._rest = 0, b""
        self._identity = identity
        return status.st_size


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")
