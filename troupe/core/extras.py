"""What a bare installation lacks: each service, and the servers of one machine, are extras of the package."""

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module, metadata
from typing import Final, Protocol, cast

from packaging.requirements import Requirement

PACKAGE: Final = "troupe"
_CANNOT_START: Final = 2
_SHOWN: Final = 5


class Process(Protocol):
    """A module with a process in it."""

    def run_process(self) -> None:
        """Runs it to its end."""


def start(module: str, *, extra: str) -> None:
    """Runs the process of a module; where its extra is not installed, one line says so and the exit code is 2."""
    try:
        process = cast("Process", import_module(module))
    except ModuleNotFoundError:
        problem = lacking(extra)
        if not problem:
            raise
        sys.stderr.write(f"{module.removesuffix('.process')}: {problem}\n")
        sys.exit(_CANNOT_START)
    process.run_process()


def lacking(*extras: str) -> str:
    """What to do about packages of some extras that are not installed; empty when all are."""
    names = [extra for extra in extras if _missing(extra)]
    if not names:
        return ""
    missing = list(dict.fromkeys(name for extra in names for name in _missing(extra)))
    shown = [*missing[:_SHOWN], *([f"{len(missing) - _SHOWN} more"] if len(missing) > _SHOWN else [])]
    return f"not installed: {', '.join(shown)}; `pip install '{PACKAGE}[{','.join(names)}]'` brings what it needs"


def _missing(extra: str) -> Sequence[str]:
    return [requirement.name for requirement in _requirements(extra) if not _is_installed(requirement.name)]


def _requirements(extra: str) -> Iterator[Requirement]:
    """Those of an extra that count on this machine, and of the extras that it names itself."""
    for text in metadata.requires(PACKAGE) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or marker.evaluate({"extra": ""}) or not marker.evaluate({"extra": extra}):
            continue
        if requirement.name == PACKAGE:
            for other in sorted(requirement.extras):
                yield from _requirements(other)
        else:
            yield requirement


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
