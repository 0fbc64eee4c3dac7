"""Preparing the model repository."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from troupe.inference.models.repository import prepare
from troupe.inference.models.settings import ModelsSettings, weights_folder


def _prepare(target: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "troupe.inference.models", "--out", str(target)]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)


def test_a_second_run_changes_nothing_and_is_quick(model_repository: Path, tmp_path: Path) -> None:
    target = tmp_path / "models"
    assert _prepare(target).stdout.startswith("model repository prepared")
    graph = target / "embedder" / "1" / "minilm.onnx"
    before = graph.stat().st_mtime_ns, (target / "repository.json").stat().st_mtime_ns
    started = time.monotonic()
    assert _prepare(target).stdout.startswith("model repository up to date")
    assert time.monotonic() - started < 3  # 0.4 s alone on the machine
    assert (graph.stat().st_mtime_ns, (target / "repository.json").stat().st_mtime_ns) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["models"]


def test_a_repository_of_another_version_is_replaced(model_repository: Path, tmp_path: Path) -> None:
    settings = ModelsSettings.load()
    target = tmp_path / "models"
    stale = target / "generator" / "1" / "stale.py"
    stale.parent.mkdir(parents=True)
    stale.write_text("")
    assert prepare(target, weights=weights_folder(settings), cache=settings.cache)
    assert not stale.exists()
    assert (target / "generator" / "1" / "extractive" / "answer.py").exists()
    assert not prepare(target, weights=weights_folder(settings), cache=settings.cache)


def test_weights_of_ones_own_are_taken_and_missing_ones_explained(tmp_path: Path) -> None:
    told = _prepare(tmp_path / "models", TROUPE_MODELS__WEIGHTS=str(tmp_path))
    assert told.returncode == 2
    assert "model.safetensors" in told.stderr
    assert "TROUPE_MODELS__WEIGHTS" in told.stderr
    assert "Traceback" not in told.stderr
    own = shutil.copytree(weights_folder(ModelsSettings.load()), tmp_path / "weights")
    assert _prepare(tmp_path / "models", TROUPE_MODELS__WEIGHTS=str(own)).returncode == 0
