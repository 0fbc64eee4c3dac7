"""The things that an instruction asks for, each to be searched on its own. Pure."""

import re
from typing import Final

MAX_ASPECTS: Final = 6
_ITEM: Final = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+(\S.*)$", re.MULTILINE)
_QUESTION: Final = re.compile(r"[^.?!;\n？！؟]+[?？؟]")
_ASKING: Final = r"(?:how|what|why|when|where|who|whom|whose|which|whether)\b"
_CLAUSE: Final = re.compile(rf"\s*[,;]?\s+and\s+(?={_ASKING})|\s*[,;]\s+(?={_ASKING})", re.IGNORECASE)
_MIN_WORDS: Final = 3
# Who asks for more than this asks for one thing at length; the expressions below take more than linear time.
_MAX_CHARACTERS: Final = 4_000


def aspects(instruction: str) -> list[str]:
    """The instruction itself, then its questions, list items and clauses that ask on their own."""
    whole = " ".join(instruction.split())
    if len(instruction) > _MAX_CHARACTERS:
        return [whole]
    parts = _ITEM.findall(instruction)
    if len(parts) < 2:
        parts = [question.strip() for question in _QUESTION.findall(instruction)] or [whole]
    clauses = [clause.strip(" ,;") for part in parts for clause in _CLAUSE.split(part)]
    telling = [clause for clause in clauses if len(clause.split()) >= _MIN_WORDS]
    return list(dict.fromkeys([whole, *(telling if len(telling) > 1 else ())]))[: MAX_ASPECTS + 1]
