"""Prepares a folder that tritonserver takes as its model repository."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import troupe.core.text
from troupe.inference.models.settings import WEIGHT_FILES

SOURCE: Final = Path(__file__).parent
# How the project reads text goes along under its own name, so that Triton's interpreter needs no more of the project.
SHARED: Final = Path(troupe.core.text.__file__).parent
# Packages that stand beside a model's `model.py`.
PACKAGES: Final[Mapping[str, Sequence[str]]] = {"embedder": ["minilm"], "generator": ["minilm", "extractive"]}
_MARKER: Final = "repository.json"


def prepare(target: Path, *, weights: Path, cache: Path) -> bool:
    """Makes `target` the model repository of this version; False when it already was.

    The folder appears whole or not at all. The ONNX graph is built once per content of `weights` and kept in `cache`.
    """
    fingerprint = _fingerprint(weights)
    if _read_marker(target) == fingerprint:
        return False
    graph = _cached_graph(weights, cache)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        fresh = Path(scratch) / "fresh"
        for model, packages in PACKAGES.items():
            _copy_model(fresh / model, packages, graph=graph, tokenizer=weights / "tokenizer.json")
        (fresh / _MARKER).write_text(json.dumps({"fingerprint": fingerprint}))
        _replace(target, fresh, aside=Path(scratch) / "old")
    return True


def _replace(target: Path, fresh: Path, *, aside: Path) -> None:
    with suppress(FileNotFoundError):
        target.rename(aside)
    try:
        fresh.rename(target)
    except OSError:  # another process was faster; its folder is as good if it is of this version
        if _read_marker(target) != _read_marker(fresh):
            raise


def _copy_model(target: Path, packages: Sequence[str], *, graph: Path, tokenizer: Path) -> None:
    source = SOURCE / target.name
    version = target / "1"
    version.mkdir(parents=True)
    shutil.copy(source / "config.pbtxt", target)
    shutil.copy(source / "1" / "model.py", version)
    for package in packages:
        shutil.copytree(SOURCE / package, version / package, ignore=shutil.ignore_patterns("__pycache__"))
    if "extractive" in packages:
        _copy_shared(version / "troupe")
    shutil.copy(tokenizer, version / "tokenizer.json")
    _link(graph, version / "minilm.onnx")


def _copy_shared(target: Path) -> None:
    """The package below the packages that it stands in, which hold nothing else here."""
    shutil.copytree(SHARED, target / "core" / SHARED.name, ignore=shutil.ignore_patterns("__pycache__"))
    for folder, source in ((target, SHARED.parent.parent), (target / "core", SHARED.parent)):
        shutil.copy(source / "__init__.py", folder)


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one without links
        shutil.copy(source, target)


def _cached_graph(weights: Path, cache: Path) -> Path:
    content = [weights / "model.safetensors", weights / "config.json", SOURCE / "minilm_graph.py"]
    graph = cache.expanduser() / f"minilm-{_hash_files(content)[:16]}.onnx"
    if not graph.exists():
        graph.parent.mkdir(parents=True, exist_ok=True)
        from troupe.inference.models.minilm_graph import build_graph  # noqa: PLC0415 - onnx costs a second to import

        with tempfile.TemporaryDirectory(prefix=".build-", dir=graph.parent) as scratch:
            built = Path(scratch) / graph.name
            build_graph(weights, built)
            built.rename(graph)
    return graph


def _fingerprint(weights: Path) -> str:
    """Changes with the source files' content and with the size or time of the weights, which are too large to read."""
    digest = hashlib.sha256(_hash_files(sorted(_sources())).encode())
    for name in WEIGHT_FILES:
        stat = (weights / name).stat()
        digest.update(f"{weights / name} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    yield SOURCE / "minilm_graph.py"
    yield from SHARED.rglob("*.py")
    for folder in {*PACKAGES, *(package for packages in PACKAGES.values() for package in packages)}:
        yield from (SOURCE / folder).rglob("*.py")
        yield from (SOURCE / folder).glob("config.pbtxt")


def _hash_files(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _read_marker(folder: Path) -> str | None:
    try:
        fingerprint: str = json.loads((folder / _MARKER).read_text())["fingerprint"]
    except (OSError, ValueError, KeyError):
        return None
    return fingerprint
