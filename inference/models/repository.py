"""Prepares a folder that tritonserver takes as its model repository."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from google.protobuf.text_encoding import CEscape

import troupe.core.text
from troupe.inference.models.chat_cache import CachedChat, cached_chat
from troupe.inference.models.settings import WEIGHT_FILES

SOURCE: Final = Path(__file__).parent
# How the project reads text goes along under its own name, so that Triton's interpreter needs no more of the project.
SHARED: Final = Path(troupe.core.text.__file__).parent
# Packages that stand beside a model's `model.py`.
PACKAGES: Final[Mapping[str, Sequence[str]]] = {
    "embedder": ["minilm"],
    "generator": ["minilm", "extractive", "vllm_contract"],
    "chat": ["completion", "vllm_contract"],
}
_MARKER: Final = "repository.json"


def prepare(target: Path, *, weights: Path, cache: Path, chat_weights: Path | None = None) -> bool:
    """Makes `target` the model repository of this version; False when it already was.

    The folder appears whole or not at all. The ONNX graph is built once per content of `weights`, the language model is
    requantised once per content of `chat_weights`, a GGUF file, and both are kept in `cache`. Without `chat_weights`
    there is no `chat`.
    """
    fingerprint = _fingerprint(weights, chat_weights)
    if _read_marker(target) == fingerprint:
        return False
    graph = _cached_graph(weights, cache)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        fresh = Path(scratch) / "fresh"
        for model in ("embedder", "generator"):
            version = _copy_model(fresh / model)
            shutil.copy(weights / "tokenizer.json", version)
            _link(graph, version / "minilm.onnx")
        if chat_weights is not None:
            _add_chat(fresh / "chat", cached_chat(chat_weights, cache))
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


def _copy_model(target: Path) -> Path:
    """The folder of its one version, with its code."""
    packages = PACKAGES[target.name]
    source = SOURCE / target.name
    version = target / "1"
    version.mkdir(parents=True)
    shutil.copy(source / "config.pbtxt", target)
    shutil.copy(source / "1" / "model.py", version)
    for package in packages:
        shutil.copytree(SOURCE / package, version / package, ignore=shutil.ignore_patterns("__pycache__"))
    if "extractive" in packages:
        _copy_shared(version / "troupe")
    return version


def _add_chat(target: Path, cached: "CachedChat") -> None:
    version = _copy_model(target)
    _link(cached.weights, version / "model.gguf")
    parameters = "".join(
        f'parameters {{ key: "{name}" value: {{ string_value: "{CEscape(value.encode(), as_utf8=True)}" }} }}\n'
        for name, value in cached.parameters().items()
    )
    with (target / "config.pbtxt").open("a") as config:
        config.write(f"# How the weights want conversations written.\n{parameters}")


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


def _fingerprint(weights: Path, chat_weights: Path | None) -> str:
    """Changes with the source files' content and with the size or time of the weights, which are too large to read."""
    digest = hashlib.sha256(_hash_files(sorted(_sources())).encode())
    for path in (*(weights / name for name in WEIGHT_FILES), *([chat_weights] if chat_weights else ())):
        stat = path.stat()
        digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    yield SOURCE / "minilm_graph.py"
    yield SOURCE / "chat_cache.py"
    yield SOURCE / "gguf_weights.py"
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
