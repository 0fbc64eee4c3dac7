"""Which process runs on which core."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_CORES: Final = sorted(os.sched_getaffinity(0))
LOAD: Final = _CORES[0]
PROXY: Final = _CORES[-1]


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """What is started inside the block has this core alone; so does this process until the block ends."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
