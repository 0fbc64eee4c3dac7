"""Where the servers of a stack listen: sockets that only their user can open."""

import os
import re
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from troupe.local.errors import StackError

_NAME: Final = "run"
# The longest name that a socket gets. A path of one has at most 107 bytes, and some file systems take none.
_PROBE: Final = "milvus.sock:19530"
# What stands for itself in the URIs by which gRPC and Redis clients are told a path.
_PLAIN: Final = re.compile(r"[\w./+-]+", re.ASCII)


@contextmanager
def sockets_folder(data: Path) -> Iterator[Path]:
    """A folder for sockets, closed to other users: in the data directory, or a short one where that will not do.

    Raises:
        StackError: no folder takes sockets.
    """
    own = data / _NAME
    with suppress(OSError):
        own.mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as stack:
        yield own if _takes_sockets(own) else _short(stack)


def _short(stack: ExitStack) -> Path:
    parents = [os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"]  # noqa: S108 - made private
    for parent in filter(os.path.isdir, parents):
        try:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="troupe-", dir=parent)))
        except OSError:
            continue
        if _takes_sockets(folder):
            return folder
    raise StackError(f"sockets can be made neither in the data directory nor below {tempfile.gettempdir()!r}")


def _takes_sockets(folder: Path) -> bool:
    if not _PLAIN.fullmatch(str(folder)):
        return False
    path = folder / _PROBE
    try:
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path))
        path.unlink()
    except OSError:
        return False
    return True
