"""A document's text, put together from its passages. Pure."""

from collections.abc import Iterable

from troupe.agents.memory.store import StoredPassage


def assemble(passages: Iterable[StoredPassage], start: int, end: int) -> str:
    """The text from `start` to `end`; what no passage holds comes back as blanks."""
    parts: list[str] = []
    position = start
    for passage in sorted(passages, key=lambda p: p.start):
        text = passage.gap + passage.text
        begin = passage.start - len(passage.gap)
        parts.append(" " * (min(begin, end) - position))
        position = max(position, min(begin, end))
        piece = text[position - begin : end - begin] if end > begin else ""
        parts.append(piece)
        position += len(piece)
    parts.append(" " * (end - position))
    return "".join(parts)
