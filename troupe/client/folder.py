"""The documents of a folder."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from troupe.core.errors import invalid
from troupe.core.media import Unread, kind_of_unread, media_type_of_path, why_unread

FOLDER_KEY: Final = "folder"
_HEAD_BYTES: Final = 512  # by which text is told from what is none
BROKEN_LINK: Final = "a broken link"
LINKED_FOLDER: Final = "a link to a folder"
SPECIAL: Final = "no ordinary file"


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder and the files in it that can be ingested, sorted; there may be none."""

    root: Path
    files: Sequence[Path]
    label: str
    """The name of the source: what was named, absolute and without links, a folder or a single file."""
    problems: Mapping[Path, str] = field(default_factory=dict)
    """Folders in it that cannot be listed, and why."""
    whole: bool = True
    """Whether `files` are all of the folder's, not a part or a single file."""
    skipped: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    """Files and folders in it that are passed over, by reason."""

    @classmethod
    def scan(cls, root: Path, *, only: Sequence[Path] = ()) -> Self:
        """Finds the files below `root`, or below the parts of it that `only` names; hidden ones are passed over.

        Raises:
            TroupeError: a path does not exist, cannot be listed, or is a file that cannot be ingested.
        """
        named = _without_links(root.expanduser())
        root, only = (named.parent, [named]) if named.is_file() else (named, only)
        starts = [Path(os.path.normpath(root / part)) for part in only] or [root]
        if outside := [str(start) for start in starts if not start.is_relative_to(root)]:
            raise invalid("only", f"names {outside[0]!r}, which is not inside {str(root)!r}")
        found = _Scan()
        files = sorted({file_uri(file): file for start in starts for file in found.files(start)}.values())
        if root in found.problems:
            raise invalid("folder", f"{str(root)!r} cannot be read: {found.problems[root]}")
        return cls(root, files, source_name(named), found.problems, whole=not only, skipped=found.skipped)

    @property
    def filter(self) -> dict[str, str]:
        """By which `TaskSpec.memory_filter` finds its documents."""
        return {FOLDER_KEY: self.label}


def source_name(path: Path) -> str:
    """The name of a folder or file as a source: its path; its URL, with escapes, where the path is not UTF-8."""
    text = str(path)
    return text if _is_unicode(text) else path.as_uri()


def is_path(source: str) -> bool:
    """Whether a source is a folder or a file, by its name."""
    return source.startswith(("/", "file:///"))


def file_uri(file: Path) -> str:
    """The URL of the file itself, the same by whichever path, working directory or link it was found."""
    return Path(os.path.realpath(file)).as_uri()


def nothing_to_ingest(folder: Folder) -> str:
    """What is wrong with a folder without files, and without documents from it."""
    return f"{str(folder.root)!r} holds no file that can be ingested, and no document of it is stored"


class _Scan:
    """Walks folders; notes what is passed over, and why."""

    def __init__(self) -> None:
        self.problems: dict[Path, str] = {}
        self.skipped: dict[str, list[Path]] = {}

    def files(self, start: Path) -> Iterator[Path]:
        """The files below a folder, or the file itself."""
        if start.is_file():
            if media_type_of_path(start) is None:
                raise invalid("folder", f"{str(start)!r} is {Unread.UNKNOWN}: {kind_of_unread(start)}")
            yield start
            return
        if not start.is_dir():
            advice = "name a folder or a file; `troupe docs sources --forget` forgets a folder that is gone"
            raise invalid("folder", f"{str(start)!r} does not exist; {advice}")
        for directory, subdirectories, names in os.walk(start, onerror=self._note):
            here = Path(directory)
            subdirectories[:] = [name for name in sorted(subdirectories) if self._enters(here / name)]
            yield from (here / name for name in sorted(names) if self._takes(here / name))

    def _enters(self, directory: Path) -> bool:
        if reason := _hidden(directory) or (LINKED_FOLDER if directory.is_symlink() else ""):
            self._skip(directory, reason)
        return not reason

    def _takes(self, file: Path) -> bool:
        if reason := _hidden(file) or _unfit(file):
            self._skip(file, reason)
        return not reason

    def _skip(self, path: Path, reason: str) -> None:
        self.skipped.setdefault(reason, []).append(path)

    def _note(self, error: OSError) -> None:
        self.problems[Path(error.filename)] = error.strerror or "unknown error"


def _hidden(path: Path) -> str:
    return Unread.HIDDEN if path.name.startswith(".") or path.name == "node_modules" else ""


def _unfit(file: Path) -> str:
    """Why a file cannot be ingested, by its name and first bytes. To read a pipe or a device may never end."""
    if media_type_of_path(file) is None:
        return Unread.UNKNOWN
    if file.is_symlink() and not _exists(file):
        return BROKEN_LINK
    if _exists(file) and not file.is_file():
        return SPECIAL
    return _unfit_inside(file)


def _unfit_inside(file: Path) -> str:
    try:
        size_bytes = file.stat().st_size
        with file.open("rb") as opened:
            head = opened.read(_HEAD_BYTES)
    except OSError:  # which is told when it is to be sent
        return ""
    return why_unread(file, size_bytes=size_bytes, head=head) or ""


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:  # no permission, or links in a circle
        return not file.is_symlink()


def _without_links(path: Path) -> Path:
    """The path from the root; the name of a file that is a link stays, for it says the kind."""
    return Path(os.path.realpath(path.parent), path.name) if path.is_file() else Path(os.path.realpath(path))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
