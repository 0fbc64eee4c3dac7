"""Notebooks: the cells as Markdown, code in fences with what it printed."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from troupe.agents.memory.document import ParsedDocument
from troupe.agents.memory.parsing.code import parse_json
from troupe.agents.memory.parsing.markdown import parse_markdown


def parse_notebook(source: str) -> ParsedDocument:
    """As Markdown; a file that is no notebook is read as JSON."""
    try:
        notebook = json.loads(source)
        language = str(_mapping(_mapping(notebook["metadata"]).get("language_info")).get("name", ""))
        text = "\n\n".join(part for cell in notebook["cells"] for part in _cell(cell, language))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return parse_json(source)
    return parse_markdown(text)


def _cell(cell: Mapping[str, Any], language: str) -> Iterator[str]:
    text = _text(cell.get("source"))
    if cell.get("cell_type") != "code":
        yield text
        return
    yield _fenced(text, language)
    for output in cell.get("outputs", ()):
        printed = _text(output.get("text") or _mapping(output.get("data")).get("text/plain"))
        if printed.strip():
            yield _fenced(printed, "")


def _fenced(text: str, language: str) -> str:
    fence = "```" if "```" not in text else "~~~~~~"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _text(value: object) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
