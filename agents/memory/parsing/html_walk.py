"""Goes through the tree of a page and writes what a reader sees, in order."""

import re
from collections.abc import Sequence
from typing import Final

from selectolax.lexbor import LexborNode

from troupe.agents.memory.document import Heading, Span
from troupe.agents.memory.parsing import html_rules as rules
from troupe.agents.memory.parsing.grid import SEPARATOR
from troupe.agents.memory.parsing.html_tables import Table, read_table
from troupe.agents.memory.parsing.mathml import linear
from troupe.agents.memory.parsing.numbering import Numbering, numbering_of
from troupe.agents.memory.parsing.scripts import is_mark, lowered, raised

_SPACES: Final = re.compile(r"[ \t\r\n\f]+")
_INVISIBLE: Final = re.compile("[\u00ad\u200b\ufeff]")
_MAX_INNER: Final = 8  # texts within texts: cells, raised text
_MAX_NODES_UP: Final = 4
_FORMULA: Final = re.compile(r"\b(?:math|tex|latex|emoji)\b", re.IGNORECASE)
_LEAVES: Final = frozenset(["img", "input", "math"])
_DRAWN: Final = frozenset(["foreignobject", "text"])  # text in drawings
_JOINTS: Final = (": ", ", ", "; ")  # between names and what they mean


class Walk:
    """Goes through the tree without recursion: documents may nest deeper than Python does.

    A flat walk writes one line, for the cells of tables.
    """

    def __init__(
        self, *, notes: frozenset[str] = frozenset(), without_scripts: bool = False, flat: bool = False, inner: int = 0
    ) -> None:
        self.headings: list[Heading] = []
        self.atoms: list[Span] = []
        self._notes = notes
        self._without_scripts = without_scripts
        self._flat = flat
        self._inner = inner
        self._parts: list[str] = []
        self._length = 0
        self._begun = -1  # where a block begins that has no word yet
        self._pending = ""  # white space that is owed before the next word
        self._owed: list[str] = []  # marks that stand before the next word
        self._lists: list[Numbering | None] = []
        self._shown = [True]
        self._preformatted = 0
        self._atom_start = 0
        self._heading_start = -1

    @property
    def text(self) -> str:
        """What was written."""
        return "".join(self._parts)

    def run(self, root: LexborNode) -> None:
        """Writes what is below the node."""
        stack: list[tuple[LexborNode, rules.Attributes | None]] = [(root, None)]
        while stack:
            node, left = stack.pop()
            if left is not None:
                self._leave(node, node.tag or "", left)
                continue
            if node is not root and node.next is not None:
                stack.append((node.next, None))
            tag = node.tag or ""
            if tag == "-text":
                self._write(node.text_content or "")
                continue
            attributes = node.attributes
            if node is not root and rules.is_unseen(node, tag, attributes, without_scripts=self._without_scripts):
                continue
            if node is not root and self._write_leaf(node, tag, attributes):
                continue
            self._enter(node, tag, attributes)
            stack.append((node, attributes))
            if node.child is not None:
                stack.append((node.child, None))

    def _write_leaf(self, node: LexborNode, tag: str, attributes: rules.Attributes) -> bool:
        """Writes what is read as a whole."""
        script = rules.script_of(tag, attributes)
        if script and self._inner < _MAX_INNER:
            return self._write_script(node, script)
        if tag == "table" and not self._flat:
            tables = read_table(node, self._line_of)
            for table in tables:
                self._write_table(table)
            return bool(tables)
        if tag in _LEAVES:
            self._write(_leaf(node, tag, attributes))
        else:
            return False
        return True

    def _write_script(self, node: LexborNode, script: str) -> bool:
        """Writes raised or lowered text, or the mark of a note unless it is no mark."""
        if script == "ref" and not is_mark((node.text() or "").strip()):
            return False
        text = self._line_of(node)
        before = "" if self._pending or not self._parts else self._line_end()
        if self._pending == " ":
            before = self._line_end() + " "
        after, element = _after(node)
        if script == "sub":
            self._write(lowered(text, before=before, after=after))
            return True
        fraction = after in ("/", "\N{FRACTION SLASH}") and element == "sub" and text.isdigit()
        self._write(
            raised(
                text,
                before=before,
                after=after,
                linked=script == "ref" or _is_linked(node),
                defined=text in self._notes,
                fraction=fraction,
            )
        )
        return True

    def _line_end(self) -> str:
        """The last code points of the line that is being written, enough to tell what they are."""
        tail = "".join(self._parts[-6:])[-24:]
        return tail.rpartition("\n")[2]

    def _line_of(self, node: LexborNode) -> str:
        """The text of a node on one line."""
        if self._inner >= _MAX_INNER:
            return " ".join((node.text() or "").split())
        walk = Walk(notes=self._notes, flat=True, inner=self._inner + 1)
        walk.run(node)
        return walk.text

    def _write_table(self, table: Table) -> None:
        if not self._shown[-1]:
            return
        self._break("table")
        start = self._begin()
        self._append("\n".join(table.lines))
        if self._length > start and not self._preformatted:
            self.atoms.append(Span(start, self._length, table.header))
        self._break("table")

    def _enter(self, node: LexborNode, tag: str, attributes: rules.Attributes) -> None:
        self._break(tag)
        if (shown := rules.shows(attributes)) is not None:
            self._shown.append(shown)
        if part := rules.row_part(attributes):
            self._part(node, part)
        if self._flat and tag in ("dt", "li", "tr") and node.prev is not None and self._parts:
            self._pending = "; "
        if tag in ("dd", "dt") and self._parts and (joint := rules.definition_joint(node, tag)):
            self._pending = joint
        if tag in rules.PREFORMATTED and not self._flat:
            if not self._preformatted:
                self._atom_start = self._begin()
            self._preformatted += 1
        elif not self._flat and rules.heading_level(tag, attributes):
            self._heading_start = self._begin()
        elif tag in ("dir", "menu", "ol", "ul"):
            self._lists.append(numbering_of(tag, attributes))
        elif tag == "li" and self._lists and (numbering := self._lists[-1]) is not None:
            self._owed.append(numbering.next(attributes.get("value") or ""))
        if mark := _marks(tag, attributes):
            self._owed.append(mark[0])

    def _leave(self, node: LexborNode, tag: str, attributes: rules.Attributes) -> None:
        if mark := _marks(tag, attributes):
            self._close(*mark)
        if tag in rules.PREFORMATTED and not self._flat:
            self._preformatted -= 1
            if not self._preformatted and self._length > self._atom_start:
                self.atoms.append(Span(self._atom_start, self._length))
        elif not self._flat and (level := rules.heading_level(tag, attributes)):
            self._end_heading(level)
        elif tag in ("dir", "menu", "ol", "ul") and self._lists:
            self._lists.pop()
        elif tag == "li":
            self._owed.clear()  # the item was empty
        elif tag in ("dd", "dt") and self._pending in _JOINTS:
            self._pending = ""  # so was what was defined
        self._break("tr" if rules.row_part(attributes) == "row" else tag)
        if rules.shows(attributes) is not None:
            self._shown.pop()

    def _part(self, node: LexborNode, part: str) -> None:
        """Parts a row or a cell that a style makes from what stands before it."""
        if part == "row":
            self._break("tr")
        elif self._parts and rules.follows_cell(node):
            self._pending = f"{self._pending} {SEPARATOR.lstrip()}" if "|" in self._pending else SEPARATOR

    def _close(self, opening: str, closing: str) -> None:
        if self._owed and self._owed[-1] == opening:
            self._owed.pop()
        elif closing:
            self._append(closing)

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
        if tag not in rules.BLOCKS and tag not in rules.LINES:
            if ("-" in tag or tag.lower() in _DRAWN) and not self._pending:  # an application's own mostly are blocks
                self._pending = " " if self._parts else ""
            return
        if (
            self._length == self._begun
            or not self._parts
            or (self._pending in _JOINTS and tag not in ("dd", "dt", "dl"))
        ):
            return
        if self._flat:
            self._pending = self._pending or " "
        elif tag in rules.LINES and tag != "br":
            self._pending = self._pending if self._pending == "\n\n" else "\n"
        elif tag == "br":
            self._pending = self._pending if self._pending.startswith("\n") else "\n"
        else:
            self._pending = "\n\n"

    def _begin(self) -> int:
        """Pays what is owed; returns where the next word will stand."""
        if self._length and self._pending:
            self._append(" " if self._pending == ": " and self._line_end()[-1:] in ":?!" else self._pending)
        self._pending = ""
        start = self._length
        for mark in self._owed:
            self._append(mark)
        self._owed.clear()
        self._begun = self._length
        return start

    def _write(self, text: str) -> None:
        if not self._shown[-1]:
            return
        if self._preformatted:
            if text.strip():
                self._begin()
            self._append(text if self._length else text.lstrip())
            return
        words = _SPACES.sub(" ", _INVISIBLE.sub("", text))
        if words.startswith(" ") and not self._pending:
            self._pending = " "
        if core := words.strip(" "):
            self._begin()
            self._append(core)
            self._pending = " " if words.endswith(" ") else ""

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)


def _marks(tag: str, attributes: rules.Attributes) -> Sequence[str]:
    """What stands before and after the text of an element, as a reader sees or as its meaning asks."""
    if tag == "q":
        return "“", "”"
    if tag == "rt":
        return "(", ")"
    return ("~~", "~~") if rules.is_struck(tag, attributes) else ()


def _leaf(node: LexborNode, tag: str, attributes: rules.Attributes) -> str:
    if tag == "math":
        return linear(node)
    if tag == "img":
        return (attributes.get("alt") or "") if _FORMULA.search(attributes.get("class") or "") else ""
    if attributes.get("type") == "checkbox" and "disabled" in attributes:
        return "[x] " if "checked" in attributes else "[ ] "
    return ""


def _after(node: LexborNode) -> tuple[str, str]:
    """The text behind a node as far as the next element, and that element's tag."""
    place = node
    for _ in range(_MAX_NODES_UP):
        if place.next is not None or place.parent is None or (place.parent.tag or "") not in ("a", "b", "i", "span"):
            break
        place = place.parent
    behind = place.next
    if behind is None:
        return "", ""
    if behind.tag != "-text":
        return ("" if behind.tag in rules.BLOCKS else (behind.text() or "")[:2]), behind.tag or ""
    return behind.text_content or "", (behind.next.tag or "") if behind.next is not None else ""


def _is_linked(node: LexborNode) -> bool:
    place = node.parent
    for _ in range(2):
        if place is not None and place.tag == "a" and "href" in place.attributes:
            return True
        place = place.parent if place is not None else None
    return node.css_first("a[href]") is not None
