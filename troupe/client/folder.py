"""The documents of a folder."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from troupe.core.errors import invalid

MEDIA_TYPES: Final = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".txt": "text/plain",
    ".text": "text/plain",
    ".html": "text/html",
    ".htm": "text/html",
    ".pdf": "application/pdf",
}
FOLDER_KEY: Final = "folder"
_KINDS: Final = "Markdown, text, HTML or PDF"


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder and the files in it that can be ingested, sorted."""

    root: Path
    files: Sequence[Path]
    label: str
    """What was named, absolute and without links: the folder, or a single file."""
    problems: Mapping[Path, str] = field(default_factory=dict)
    """Folders in it that cannot be listed, and why."""
    whole: bool = True
    """Whether `files` are all of the folder's, not a part or a single file."""

    @classmethod
    def scan(cls, root: Path, *, only: Sequence[Path] = ()) -> Self:
        """Finds the files below `root`, or below the parts of it that `only` names; hidden ones are passed over.

        Raises:
            TroupeError: a path does not exist, or nothing can be ingested.
        """
        named = _without_links(root.expanduser())
        root, only = (named.parent, [named]) if named.is_file() else (named, only)
        starts = [Path(os.path.normpath(root / part)) for part in only] or [root]
        if outside := [str(start) for start in starts if not start.is_relative_to(root)]:
            raise invalid("only", f"names {outside[0]!r}, which is not inside {str(root)!r}")
        problems: dict[Path, str] = {}
        files = sorted({file_uri(file): file for start in starts for file in _files(start, problems)}.values())
        if root in problems:
            raise invalid("folder", f"{str(root)!r} cannot be read: {problems[root]}")
        if not files:
            raise invalid("folder", f"{str(root)!r} holds no {_KINDS} file ({', '.join(sorted(MEDIA_TYPES))})")
        return cls(root, files, str(named), problems, whole=not only)

    @property
    def filter(self) -> dict[str, str]:
        """The mark that its documents carry, by which `TaskSpec.memory_filter` finds them."""
        return {FOLDER_KEY: self.label}


def file_uri(file: Path) -> str:
    """The URL of the file itself, the same by whichever path, working directory or link it was found."""
    return Path(os.path.realpath(file)).as_uri()


def _without_links(path: Path) -> Path:
    """The path from the root; the name of a file that is a link stays, for it says the kind."""
    return Path(os.path.realpath(path.parent), path.name) if path.is_file() else Path(os.path.realpath(path))


def media_type(file: Path) -> str | None:
    """The media type by the file's suffix; None for kinds that cannot be ingested."""
    return MEDIA_TYPES.get(file.suffix.lower())


def _files(start: Path, problems: dict[Path, str]) -> Iterator[Path]:
    if start.is_file():
        if media_type(start) is None:
            raise invalid("folder", f"{str(start)!r} is no {_KINDS} file")
        yield start
        return
    if not start.is_dir():
        raise invalid("folder", f"{str(start)!r} does not exist; name a folder or a {_KINDS} file")

    def note(error: OSError) -> None:
        problems[Path(error.filename)] = error.strerror or "unknown error"

    for directory, subdirectories, names in os.walk(start, onerror=note):
        subdirectories[:] = sorted(name for name in subdirectories if _is_wanted(name))
        for name in names:
            file = Path(directory, name)
            if _is_wanted(name) and media_type(file) is not None and not _is_special(file):
                yield file


def _is_special(file: Path) -> bool:
    """Pipes and devices: to read them may never end."""
    return file.exists() and not file.is_file()


def _is_wanted(name: str) -> bool:
    return not name.startswith(".") and name != "node_modules"
