"""The log of one process."""

from pathlib import Path
from typing import Final

_KEPT: Final = 3
_TAIL_BYTES: Final = 16_384


def rotate(path: Path, max_bytes: int) -> None:
    """Moves a log that has grown too large aside; three old ones are kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.stat().st_size <= max_bytes:
        return
    for number in range(_KEPT - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))


def last_lines(path: Path, count: int = 15) -> list[str]:
    """The end of a log."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return log.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []
