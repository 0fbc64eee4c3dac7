"""Processes whose wall clock is wrong, by libfaketime; their monotonic clock is right."""

from importlib.util import find_spec
from pathlib import Path


def skewed(offset: str) -> dict[str, str]:
    """The environment of a process whose wall clock is wrong by so much, such as `-1h`."""
    return {**_preloaded(), "FAKETIME": offset}


def settable(file: Path) -> dict[str, str]:
    """The environment of a process whose wall clock is wrong by what stands in a file, which may change."""
    file.write_text("+0")
    return {**_preloaded(), "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1"}


def _preloaded() -> dict[str, str]:
    spec = find_spec("libfaketime")
    assert spec is not None
    assert spec.origin is not None
    library = Path(spec.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    return {"LD_PRELOAD": str(library), "DONT_FAKE_MONOTONIC": "1"}
