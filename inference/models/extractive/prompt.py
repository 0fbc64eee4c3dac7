"""Reads the prompt: instructions, then `Question: …` on a line, then the numbered sources.

Sources:
[1] Title
Text, on one or more lines; a blank line ends the source.

[2] …
"""

import re
from dataclasses import dataclass

_QUESTION = re.compile(r"^Question:[ \t]*(.*)$", re.MULTILINE)
_SOURCES = re.compile(r"^Sources:[ \t]*$", re.MULTILINE)
_HEADER = re.compile(r"\[(\d{1,6})\](?:[ \t]+(.*))?")


@dataclass(frozen=True)
class Source:
    """A numbered source; `title` is its document's title with the headings above the text."""

    number: int
    title: str
    text: str


@dataclass(frozen=True)
class Prompt:
    """What the prompt asks, and of what."""

    question: str
    sources: tuple[Source, ...]


def parse_prompt(text: str) -> Prompt:
    """Reads a prompt; a part that is missing is empty."""
    text = text.replace("\r\n", "\n")
    block = _SOURCES.search(text)
    above, below = (text[: block.start()], text[block.end() :]) if block else (text, "")
    questions = _QUESTION.findall(above)  # only above: the sources are not to be trusted
    return Prompt(questions[-1].strip() if questions else "", tuple(_sources(below)))


def _sources(block: str) -> list[Source]:
    """A header stands at the start of the block or after a blank line; what follows a blank line else is skipped."""
    sources = []
    for paragraph in re.split(r"\n[ \t]*(?:\n[ \t]*)+", block.strip("\n")):
        first, _, body = paragraph.lstrip("\n").partition("\n")
        if header := _HEADER.fullmatch(first.strip()):
            sources.append(Source(int(header[1]), (header[2] or "").strip(), body))
    return sources
