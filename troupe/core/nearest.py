"""What somebody may have meant who wrote a name that there is not."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

_COMPARED_CHARS: Final = 64  # of a name: comparing takes time by the square of the length
_LISTED: Final = 12
_SIMILAR: Final = 0.6
_SEPARATORS: Final = str.maketrans("", "", "_-. ")


def suggestion(name: str, known: Iterable[str], *, aliases: Mapping[str, str] | None = None) -> str:
    """What to write instead of `name`: the most similar of the known names, or the first of them where none is.

    `aliases` are other spellings of known names that people use. Case and separators do not count.
    """
    names = list(known)
    spellings = {_plain(alias): spelled for alias, spelled in (aliases or {}).items()}
    spellings.update({_plain(each): each for each in names})
    found = difflib.get_close_matches(_plain(name), spellings, n=1, cutoff=_SIMILAR)
    return f"did you mean `{spellings[found[0]]}`?" if found else f"known: {listed(names)}"


def listed(names: Iterable[str]) -> str:
    """Names for a message: the first of them, and how many there are besides."""
    every = list(names)
    shown = ", ".join(f"`{name}`" for name in every[:_LISTED])
    more = len(every) - _LISTED
    return f"{shown} and {more} more" if more > 0 else shown or "none"


def _plain(name: str) -> str:
    return name[:_COMPARED_CHARS].casefold().translate(_SEPARATORS)
