"""Paths for programs that put them into shell commands unquoted, as Triton's python backend does."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PLAIN: Final = re.compile(r"[\w./+,:@%=-]+", re.ASCII)


@contextmanager
def plain_path(folder: Path) -> Iterator[Path]:
    """The folder itself, or a link to it while its path has white space or signs that shells read."""
    if _PLAIN.fullmatch(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="troupe-") as private:
        link = Path(private, "data")
        link.symlink_to(folder)
        yield link
