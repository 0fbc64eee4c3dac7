"""The log of one process."""

from pathlib import Path
from typing import Final

_KEPT: Final = 3
_TAIL_BYTES: Final = 16_384


def rotate(path: Path, max_bytes: int) -> None:
    """Moves a log that has grown too large aside; three old ones are kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if size(path) <= max_bytes:
        return
    for number in range(_KEPT - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))


def size(path: Path) -> int:
    """Its length in bytes; 0 while there is none."""
    return path.stat().st_size if path.exists() else 0


def last_lines(path: Path, *, since: int = 0, count: int = 15) -> list[str]:
    """The end of what was logged after the offset `since`."""
    try:
        with path.open("rb") as log:
            log.seek(max(since, size(path) - _TAIL_BYTES))
            return log.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []
