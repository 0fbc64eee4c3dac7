"""`python -m troupe.inference.models --out DIR`: prepares the model repository."""

import argparse
import sys
from pathlib import Path

from troupe.core.settings import SettingsError
from troupe.inference.models.repository import prepare
from troupe.inference.models.settings import ModelsSettings, WeightsNotFoundError, chat_weights_file, weights_folder


def main() -> None:
    """Prepares the folder; does nothing when it is as it should be."""
    parser = argparse.ArgumentParser(prog="python -m troupe.inference.models", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder to give to tritonserver")
    parser.add_argument("--chat", action="store_true", help="also the language model `chat`, where its weights are")
    arguments = parser.parse_args()
    out: Path = arguments.out
    with_chat: bool = arguments.chat
    try:
        settings = ModelsSettings.load()
        chat = chat_weights_file(settings) if with_chat else None
        fresh = prepare(
            out.absolute(), weights=weights_folder(settings, on_fetch=_tell), cache=settings.cache, chat_weights=chat
        )
    except (SettingsError, WeightsNotFoundError) as error:
        sys.stderr.write(f"inference.models: {error}\n")
        sys.exit(2)
    sys.stdout.write(f"model repository {'prepared' if fresh else 'up to date'}: {out}\n")


def _tell(requirement: str) -> None:
    sys.stdout.write(f"fetching the weights of {requirement} (about 85 MB, once)\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
