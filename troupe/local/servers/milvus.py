"""Milvus: the server of the wheel `milvus-lite`, in the interpreter that runs this."""

import sys
from importlib.util import find_spec
from pathlib import Path

from troupe.local.errors import ServerNotFoundError
from troupe.local.launch import Launch

# milvus-lite promises safe concurrent reads, but no safe concurrent writes: one thread serves one call at a time.
_WORKERS = "1"


def milvus_launch(*, data_dir: Path, port: int, host: str = "127.0.0.1") -> Launch:
    """A Milvus with its data under `data_dir`, at `host:port`; the host `unix:/path` makes the socket `/path:port`.

    Raises:
        ServerNotFoundError: the wheel is not installed.
    """
    if find_spec("milvus_lite") is None:
        raise ServerNotFoundError("no `milvus_lite` found: `pip install troupe[local]`, or use a Milvus by its address")
    data_dir.mkdir(parents=True, exist_ok=True)
    options = ("--data-dir", str(data_dir), "--host", host, "--port", str(port), "--max-workers", _WORKERS)
    return Launch([sys.executable, "-m", "milvus_lite", "server", *options], env={"PYTHONUNBUFFERED": "1"})
