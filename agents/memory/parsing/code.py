"""Source code and data in text form: the text is the file, and what stands together is kept together."""

import json
import re
from collections.abc import Iterator
from typing import Final

from troupe.agents.memory.document import ParsedDocument, Span

_BLOCK_END: Final = re.compile(r"\n(?:[^\S\n]*\n)+(?=\S)")  # blank lines before a line that is not indented
_LONG_LINE: Final = 1_000
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+|"', re.DOTALL)
_MEMBER: Final = re.compile(r'"\s*:')
_ESCAPE: Final = re.compile(r"\\u[0-9a-fA-F]{4}")
_OPENING: Final = frozenset("{[")
_CLOSING: Final = frozenset("}]")
_BETWEEN: Final = frozenset(",:")
_MAX_INDENT: Final = 40


def parse_code(text: str) -> ParsedDocument:
    """The file as it is."""
    return ParsedDocument(text=text, atoms=list(_blocks(text)))


def parse_json(text: str) -> ParsedDocument:
    """The file; one that is written for machines, its members on one line or with escaped letters, is laid out anew."""
    lines = text.strip().split("\n")
    if _ESCAPE.search(text) or len(_MEMBER.findall(text)) > len(lines) or max(map(len, lines)) > _LONG_LINE:
        text = laid_out(text)
    return ParsedDocument(text=text, atoms=[Span(0, len(text))] if text else [])


def laid_out(text: str) -> str:
    """JSON with a member a line, and letters as themselves. Every token stays as it was: numbers are not read."""
    parts: list[str] = []
    depth = 0
    for part in _TOKEN.findall(text):
        if part in _OPENING:
            depth += 1
            parts.append(part + _line(depth))
        elif part in _CLOSING:
            depth = max(0, depth - 1)
            parts.append(_line(depth) + part)
        elif part in _BETWEEN:
            parts.append("," + _line(depth) if part == "," else ": ")
        else:
            parts.append(_readable(part))
    return "".join(parts)


def _line(depth: int) -> str:
    return "\n" + "  " * min(depth, _MAX_INDENT)


def _readable(part: str) -> str:
    if "\\u" not in part:
        return part
    try:
        readable = json.dumps(json.loads(part, strict=False), ensure_ascii=False)
        readable.encode()
    except ValueError:  # not JSON, or half of a surrogate pair
        return part
    return readable


def _blocks(text: str) -> Iterator[Span]:
    start = 0
    for gap in _BLOCK_END.finditer(text):
        if gap.start() > start:
            yield Span(start, gap.start())
        start = gap.end()
    if start < len(text):
        yield Span(start, len(text))
