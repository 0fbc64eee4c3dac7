"""`python -m troupe.inference.models --out DIR`: prepares the model repository."""

import argparse
import sys
from pathlib import Path

from troupe.core.settings import SettingsError
from troupe.inference.models.repository import prepare
from troupe.inference.models.settings import ModelsSettings, WeightsNotFoundError, weights_folder


def main() -> None:
    """Prepares the folder; does nothing when it is as it should be."""
    parser = argparse.ArgumentParser(prog="python -m troupe.inference.models", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder to give to tritonserver")
    out: Path = parser.parse_args().out
    try:
        settings = ModelsSettings.load()
        fresh = prepare(out.absolute(), weights=weights_folder(settings), cache=settings.cache)
    except (SettingsError, WeightsNotFoundError) as error:
        sys.stderr.write(f"inference.models: {error}\n")
        sys.exit(2)
    sys.stdout.write(f"model repository {'prepared' if fresh else 'up to date'}: {out}\n")


if __name__ == "__main__":
    main()
