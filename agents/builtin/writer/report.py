"""The report's text: title, sections and sources. Pure."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from troupe.agents.builtin.evidence.citing import HEADING_SEPARATOR
from troupe.agents.builtin.evidence.numbering import Numbering
from troupe.agents.builtin.evidence.readable import plain
from troupe.agents.builtin.writer.topics import Topic
from troupe.api.common.v1.content_pb2 import Citation, Finding
from troupe.core.file_urls import brief

NOT_ANSWERED: Final = "The documents do not answer this question."
_BEGINNINGS: Final = ("a", "an", "the", "how", "what", "when", "where", "which", "who", "why")
_NO_TITLE: Final = "Report"
_MAX_TITLE: Final = 120
_MAX_QUOTE: Final = 300


def title(task: str) -> str:
    """The task on one line, or its first sentence where it is long."""
    lines = [plain(line) for line in task.splitlines() if line.strip()] or [_NO_TITLE]
    whole = " ".join(lines)
    first = re.split(r"(?<=[.?!。？！؟])\s+", lines[0], maxsplit=1)[0]
    return f"# {shorten(whole if len(whole) <= _MAX_TITLE else first, _MAX_TITLE).rstrip('.:;, ') or _NO_TITLE}"


def shorten(text: str, length: int) -> str:
    """At most `length` code points, cut between words."""
    text = " ".join(text.split())
    if len(text) <= length:
        return text
    cut = text[:length]
    return (cut.rpartition(" ")[0] or cut).rstrip(" ,;:—–-") + "…"


def unanswered(topics: Sequence[Topic]) -> str:
    """What the direct answer says of the questions that were not answered; empty when all were."""
    missing = [topic for topic in topics if not topic.answered]
    if not missing:
        return ""
    if len(missing) == len(topics):
        notes = list(dict.fromkeys(topic.note for topic in topics if topic.note))
        nothing_read = all(topic.note for topic in topics)
        return f"This cannot be answered. {notes[0]}" if nothing_read else NOT_ANSWERED
    names = "; ".join(f"“{shorten(topic.heading, 160)}”" for topic in missing)
    return f"The documents do not answer this part: {names}."


def sections(topics: Sequence[Topic], said: Sequence[Finding], numbering: Numbering) -> Iterator[str]:
    """What was found, without what the direct answer `said`, in pieces."""
    if not any(topic.answered for topic in topics):
        yield from _closest_of_all(topics, numbering)
    elif len(topics) == 1:
        rest = _reading_order(_without(topics[0].findings, said))
        yield from _bullets("\n\n## Findings\n", rest, numbering)
    else:
        yield "\n\n## Findings"
        for topic in topics:
            yield from _topic(topic, said, numbering)


def sources(numbering: Numbering) -> Iterator[str]:
    """The places that were cited, one a paragraph."""
    for index, citation in enumerate(numbering.citations):
        yield ("\n\n" if index else "\n\n## Sources\n\n") + source_line(citation)


def source_line(citation: Citation) -> str:
    """`[1] Title (docs/file.md) — Heading, characters 10–80: “quote”`."""
    uri = brief(citation.document_uri)
    name = plain(citation.document_title) if citation.document_title != citation.document_uri else ""
    document = f"{name} ({uri})" if name and uri and name != uri else name or uri
    heading = plain(citation.heading.removeprefix(citation.document_title).removeprefix(HEADING_SEPARATOR))
    place = f"{document} — {heading}" if heading else document
    quote = shorten(plain(citation.quote), _MAX_QUOTE)
    return f"[{citation.number}] {place}, characters {citation.start_offset}–{citation.end_offset}: “{quote}”"


def _topic(topic: Topic, said: Sequence[Finding], numbering: Numbering) -> Iterator[str]:
    heading = f"\n\n### {_capital(shorten(topic.heading, 200))}\n"
    if topic.answered:
        yield from _bullets(heading, _without(topic.findings, said) or topic.findings[:1], numbering)
        return
    yield heading + "\nThe documents do not answer this."
    if new := [finding for finding in topic.closest if not numbering.holds(finding)]:
        yield from _bullets(" What was found closest does not answer it:\n", new, numbering)


def _closest_of_all(topics: Sequence[Topic], numbering: Numbering) -> Iterator[str]:
    found = [finding for topic in topics for finding in topic.closest]
    unique = list({finding.statement: finding for finding in found}.values())
    introduction = "\n\n## Closest passages\n\nThis was found closest; it does not answer the question.\n"
    yield from _bullets(introduction, unique, numbering)


def _bullets(heading: str, findings: Sequence[Finding], numbering: Numbering) -> Iterator[str]:
    for index, finding in enumerate(findings):
        yield ("" if index else heading) + f"\n- {numbering.cited(finding)}"


def _capital(heading: str) -> str:
    """Articles and question words begin with a capital; names stay as they are written."""
    first = heading.partition(" ")[0]
    return heading[:1].upper() + heading[1:] if first in _BEGINNINGS else heading


def _without(findings: Sequence[Finding], said: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding not in said]


def _reading_order(findings: Sequence[Finding]) -> list[Finding]:
    """Document by document, the one with the best finding first, and each from its beginning."""
    rank: dict[str, int] = {}
    for finding in findings:
        rank.setdefault(finding.evidence[0].document_id, len(rank))
    return sorted(findings, key=lambda f: (rank[f.evidence[0].document_id], f.evidence[0].start_offset))
