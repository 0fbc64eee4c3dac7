"""HTML: the text that a reader sees, without scripts, styles, controls and navigation."""

import re
from dataclasses import replace
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from troupe.agents.memory.document import ParsedDocument
from troupe.agents.memory.parsing.declared import html_encoding
from troupe.agents.memory.parsing.encoding import decode
from troupe.agents.memory.parsing.html_walk import Walk
from troupe.agents.memory.parsing.nesting import flattened
from troupe.agents.memory.parsing.scripts import is_numeral
from troupe.agents.memory.parsing.titles import title_of

_OPENERS: Final = frozenset(
    ["p", "li", "td", "th", "dd", "dt", "div", "section", "aside", "footer", "body", "blockquote"]
)
_TEMPLATE: Final = re.compile(r"<(/?)template\b([^<>]*)>", re.IGNORECASE)
_SHADOW: Final = "shadowrootmode"


def parse_html(content: bytes, uri: str, *, charset: str = "") -> ParsedDocument:
    """Title: `<title>`, else the first heading of the highest level.

    Raises:
        TroupeError: it is not text.
    """
    decoded = decode(content, uri, transport=charset, declared=html_encoding(content))
    return replace(read_html(decoded.text), metadata=decoded.metadata)


def read_html(source: str) -> ParsedDocument:
    """The document of what is decoded already."""
    tree = LexborHTMLParser(flattened(_with_shadows(source)))
    walk = _walked(tree, without_scripts=False)
    if not walk.text.strip():  # the page of an application: what it says to those who run no scripts
        walk = _walked(tree, without_scripts=True)
    return ParsedDocument(
        text=walk.text,
        title=_stated_title(tree) or title_of(walk.headings),
        headings=walk.headings,
        atoms=walk.atoms,
    )


def _with_shadows(source: str) -> str:
    """The source with the templates that browsers show as elements: trees do not hold what is in templates."""
    opened: list[bool] = []

    def shown(tag: re.Match[str]) -> str:
        if not tag[1]:
            opened.append(_SHADOW in tag[2].lower())
            return "<shadow-root>" if opened[-1] else tag[0]
        return "</shadow-root>" if opened and opened.pop() else tag[0]

    return _TEMPLATE.sub(shown, source) if _SHADOW in source.lower() else source


def _walked(tree: LexborHTMLParser, *, without_scripts: bool) -> Walk:
    walk = Walk(notes=_notes(tree), without_scripts=without_scripts)
    if tree.body is not None:
        walk.run(tree.body)
    return walk


def _stated_title(tree: LexborHTMLParser) -> str:
    for stated in tree.css("title"):
        if stated.parent is not None and stated.parent.tag != "svg":
            return " ".join((stated.text() or "").split())
    return ""


def _notes(tree: LexborHTMLParser) -> frozenset[str]:
    """The marks with which notes begin: raised text at the beginning of a paragraph."""
    if tree.body is None:
        return frozenset()
    return frozenset(
        mark for node in tree.body.css("sup") if is_numeral(mark := (node.text() or "").strip()) and _opens(node)
    )


def _opens(node: LexborNode) -> bool:
    """Whether nothing stands before it in its paragraph."""
    place: LexborNode | None = node
    while place is not None and (place.tag or "") not in _OPENERS:
        before = place.prev
        while before is not None and before.tag == "-text" and not (before.text_content or "").strip():
            before = before.prev
        if before is not None:
            return before.tag == "br"
        place = place.parent
    return place is not None
