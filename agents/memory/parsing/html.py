"""HTML: the text that a reader sees, without scripts, styles and navigation."""

import re
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from agents.memory.document import Heading, ParsedDocument, Span
from agents.memory.parsing.encoding import decode

_DROPPED: Final = frozenset(
    [
        "script",
        "style",
        "noscript",
        "template",
        "nav",
        "aside",
        "footer",
        "iframe",
        "svg",
        "math",
        "canvas",
        "object",
        "form",
        "button",
        "select",
        "head",
        "-comment",
    ]
)
_LINES: Final = frozenset(["br", "li", "dt", "dd", "tr", "option"])
_BLOCKS: Final = frozenset(
    [
        "address",
        "article",
        "blockquote",
        "body",
        "caption",
        "details",
        "div",
        "dl",
        "fieldset",
        "figcaption",
        "figure",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "main",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "tfoot",
        "thead",
        "ul",
    ]
)
_HEADINGS: Final = frozenset(["h1", "h2", "h3", "h4", "h5", "h6"])
_CHARSET: Final = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_-]{2,40})", re.IGNORECASE)
_SPACES: Final = re.compile(r"[ \t\r\n\f]+")


def parse_html(content: bytes, uri: str) -> ParsedDocument:
    """Title: `<title>`, else the first `<h1>`."""
    charset = _CHARSET.search(content[:4096])
    tree = LexborHTMLParser(decode(content, uri, declared=charset[1].decode() if charset else ""))
    walk = _Walk()
    if tree.body is not None:
        walk.run(tree.body)
    stated = tree.css_first("title")
    title = " ".join(stated.text().split()) if stated is not None else ""
    title = title or next((h.title for h in walk.headings if h.level == 1), "")
    return ParsedDocument(text=walk.text, title=title, headings=walk.headings, atoms=walk.atoms)


class _Walk:
    """Goes through the tree without recursion: documents may nest deeper than Python does."""

    def __init__(self) -> None:
        self.headings: list[Heading] = []
        self.atoms: list[Span] = []
        self._parts: list[str] = []
        self._length = 0
        self._begun = -1  # where a block begins that has no word yet
        self._pending = ""  # white space that is owed before the next word
        self._preformatted = 0
        self._atom_depth = 0
        self._atom_start = 0
        self._heading_start = -1

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def run(self, root: LexborNode) -> None:
        stack: list[tuple[LexborNode, bool]] = [(root, False)]
        while stack:
            node, leaving = stack.pop()
            if leaving:
                self._leave(node)
                continue
            if node is not root and node.next is not None:
                stack.append((node.next, False))
            if self._dropped(node):
                continue
            self._enter(node)
            stack.append((node, True))
            if node.child is not None:
                stack.append((node.child, False))

    def _dropped(self, node: LexborNode) -> bool:
        tag = node.tag or ""
        if tag == "-text":
            return False
        return tag in _DROPPED or "hidden" in node.attributes or node.attributes.get("aria-hidden") == "true"

    def _enter(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag == "-text":
            self._write(node.text_content or "")
            return
        self._break(tag)
        if tag in ("pre", "table"):
            self._preformatted += tag == "pre"
            if not self._atom_depth:
                self._atom_start = self._begin()
            self._atom_depth += 1
        elif tag in _HEADINGS:
            self._heading_start = self._begin()
        elif tag in ("td", "th") and node.prev is not None and self._pending != "\n":
            self._pending = " | "

    def _leave(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag in ("pre", "table"):
            self._preformatted -= tag == "pre"
            self._atom_depth -= 1
            if not self._atom_depth and self._length > self._atom_start:
                self.atoms.append(Span(self._atom_start, self._length))
        elif tag in _HEADINGS:
            self._end_heading(int(tag[1]))
        self._break(tag)

    def _end_heading(self, level: int) -> None:
        title = self._tail()
        if title and self._heading_start >= 0:
            self.headings.append(Heading(level, title, self._heading_start, self._length))
        self._heading_start = -1

    def _tail(self) -> str:
        """What was written since the heading began."""
        length, taken = self._length, []
        for part in reversed(self._parts):
            if length <= self._heading_start:
                break
            taken.append(part)
            length -= len(part)
        return " ".join("".join(reversed(taken))[self._heading_start - length :].split())

    def _break(self, tag: str) -> None:
        if self._length == self._begun:
            return
        if tag in _BLOCKS and not (self._atom_depth and tag in ("tbody", "thead", "tfoot", "p", "div")):
            self._pending = "\n\n"
        elif tag in _LINES or (tag in _BLOCKS and self._pending != "\n\n"):
            self._pending = self._pending if self._pending == "\n\n" else "\n"

    def _begin(self) -> int:
        """Pays the owed white space; returns where the next word will stand."""
        if self._length and self._pending:
            self._append(self._pending)
        self._pending = ""
        self._begun = self._length
        return self._length

    def _write(self, text: str) -> None:
        if self._preformatted:
            if text.strip():
                self._begin()
            self._append(text if self._length else text.lstrip())
            return
        words = _SPACES.sub(" ", text)
        if words.startswith(" ") and not self._pending:
            self._pending = " "
        if core := words.strip(" "):
            self._begin()
            self._append(core)
            self._pending = " " if words.endswith(" ") else ""

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)
