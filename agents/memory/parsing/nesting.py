"""Bounds how deep HTML nests, as browsers do: the time to build its tree grows with the square of the depth. Pure."""

import re
from collections import Counter
from typing import Final

_MAX_DEPTH: Final = 1_000
_TAG: Final = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style|textarea|title|xmp)\b.*?(?:</\1\s*>|\Z)"
    r"|<(/?)([a-zA-Z][a-zA-Z0-9:-]*)(?:[^<>\"']|\"[^\"]*\"|'[^']*')*>",
    re.DOTALL | re.IGNORECASE,
)
# Those that have no end, or end by themselves where their like begins.
_UNNESTED: Final = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "wbr",
        "p",
        "li",
        "dt",
        "dd",
        "tr",
        "td",
        "th",
        "thead",
        "tbody",
        "tfoot",
        "option",
        "optgroup",
        "colgroup",
        "caption",
        "html",
        "head",
        "body",
        "path",
        "circle",
        "rect",
        "line",
    ]
)


def flattened(source: str) -> str:
    """The source without the tags that would nest deeper; what is in them stays."""
    if source.count("<") <= _MAX_DEPTH:
        return source
    depths: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    depth = 0

    def keep(match: re.Match[str]) -> str:
        nonlocal depth
        name = (match[3] or "").lower()
        if not name or name in _UNNESTED:
            return match[0]
        if not match[2]:
            if depth >= _MAX_DEPTH:
                dropped[name] += 1
                return " "
            depths[name] += 1
            depth += 1
        elif dropped[name]:
            dropped[name] -= 1
            return " "
        elif depths[name]:
            depths[name] -= 1
            depth -= 1
        return match[0]

    return _TAG.sub(keep, source)
