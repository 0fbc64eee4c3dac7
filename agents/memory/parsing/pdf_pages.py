"""Pages put together to a document: without running heads, with headings, paragraphs going on over the page. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from troupe.agents.memory.document import Heading, ParsedDocument, Span
from troupe.agents.memory.parsing.pdf_blocks import Block, blocks_of
from troupe.agents.memory.parsing.pdf_rows import Row, rows_of
from troupe.agents.memory.parsing.pdf_runs import Glyph, runs_of, upright
from troupe.agents.memory.parsing.unwrap import is_hyphened, join, words_of

_MARGIN: Final = 0.12  # of the text's height, above and below
_MARGIN_ROWS: Final = 4
_APART: Final = 1.6  # of the height
_NUMBER: Final = re.compile(r"\d+")
_ROMAN: Final = re.compile(r"[ivxlc]{1,7}")
_BARE_NUMBER: Final = re.compile(
    r"[^\w#]*(?:page|seite|pagina|página|p|s)?[^\w#]*#[^\w#]*(?:(?:of|von|de|di|sur)?[^\w#]*[#\d]+)?[^\w#]*"
)
_LARGER: Final = 1.12
_MAX_HEADING: Final = 200
_MAX_BOLD_HEADING: Final = 100
_TITLE_PAGES: Final = 2
_ENDED: Final = re.compile(r"[.!?:;…。！？\"”’»)\]]\Z")
_PAGE_LEVEL: Final = 1


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of a page, and the lines that stand across it."""

    rows: Sequence[Row]
    across: Sequence[str]


def page_of(glyphs: Iterable[Glyph]) -> Page:
    """The page of its characters."""
    along, across = upright(glyphs)
    text = "".join(glyph.text for glyph in across if not glyph.made).strip()
    return Page(rows_of(runs_of(along)), [text] if text else [])


def assemble(pages: Sequence[Page]) -> ParsedDocument:
    """The document; its title is the largest heading of the first pages."""
    words = words_of([run.text for page in pages for row in page.rows for cell in row.cells for run in cell])
    kept = _without_running_heads(pages)
    paged = [list(blocks_of(rows, words)) for rows in kept]
    writer = _Writer(_levels(paged), words)
    across: set[str] = set()
    for number, (page, blocks) in enumerate(zip(pages, paged, strict=True), 1):
        new = [text for text in page.across if text not in across]
        across.update(new)
        writer.page(number, [*blocks, *(Block(text, 1.0) for text in new)])
    return ParsedDocument(
        text="".join(writer.parts).rstrip(),
        title=_title(paged, writer),
        headings=writer.headings,
        atoms=writer.atoms,
    )


def _without_running_heads(pages: Sequence[Page]) -> list[list[Row]]:
    """The rows without page numbers, and without heads and feet but where they stand first."""
    margins = [dict(_margin(page.rows, number)) for number, page in enumerate(pages)]
    counts = Counter(key for margin in margins for key in frozenset[str]().union(*margin.values()))
    least = 2 if len(pages) < 6 else 3
    seen: set[str] = set()
    kept: list[list[Row]] = []
    for page, margin in zip(pages, margins, strict=True):
        rows: list[Row] = []
        for number, row in enumerate(page.rows):
            keys = {key for key in margin.get(number, ()) if counts[key] >= least}
            if not keys or (seen.isdisjoint(keys) and not any(_BARE_NUMBER.fullmatch(key) for key in keys)):
                rows.append(row)
            seen |= keys
        kept.append(rows)
    return kept


def _margin(rows: Sequence[Row], page: int) -> Iterator[tuple[int, set[str]]]:
    """The rows at the upper and lower edge, with what they may have in common with those of other pages."""
    if not rows:
        return
    downwards = sorted(range(len(rows)), key=lambda number: -rows[number].base)
    reach = max(_MARGIN * (rows[downwards[0]].base - rows[downwards[-1]].base), 1.0)
    for inwards in (downwards, downwards[::-1]):
        for number in _edge(rows, inwards, reach):
            yield number, _heads(" ".join(run.text for cell in rows[number].cells for run in cell).lower(), page)


def _edge(rows: Sequence[Row], inwards: Sequence[int], reach: float) -> Sequence[int]:
    """The first rows from an edge that stand apart from what comes behind them."""
    first = rows[inwards[0]].base
    for count, (number, behind) in enumerate(pairwise(inwards[: _MARGIN_ROWS + 1]), 1):
        gap = abs(rows[number].base - rows[behind].base)
        if abs(rows[number].base - first) > reach:
            break
        if gap > _APART * rows[number].first.height:
            return inwards[:count]
    return inwards if len(inwards) <= 2 else ()


def _heads(text: str, page: int) -> set[str]:
    """The text as it is, and with the numbers that count the pages taken relative to the page."""
    numbers = list(_NUMBER.finditer(text))
    relative = {_relative(text, number, page) for number in (*numbers[:1], *numbers[-1:])}
    roman = _ROMAN.fullmatch(text.strip(" -–—.|"))
    return {text, *relative, *({"#"} if roman else ())}


def _relative(text: str, number: re.Match[str], page: int) -> str:
    around = text[: number.start()], text[number.end() :]
    if _BARE_NUMBER.fullmatch("#".join(around)):
        return f"{around[0]}#{re.sub(_NUMBER, '#', around[1])}"
    return f"{around[0]}#{int(number[0][-9:]) - page}#{around[1]}"


def _levels(paged: Sequence[Sequence[Block]]) -> dict[float, int]:
    """The level of each size that headings have, and of bold ones in the text's own size (as size 0)."""
    sizes: Counter[float] = Counter()
    for blocks in paged:
        for block in blocks:
            if not block.is_table:
                sizes[round(block.size, 1)] += len(block.text)
    if not sizes:
        return {}
    body = sizes.most_common(1)[0][0]
    larger = sorted((size for size in sizes if size > body * _LARGER), reverse=True)
    levels = {size: min(_PAGE_LEVEL + 1 + rank, 5) for rank, size in enumerate(larger)}
    return {**levels, body: 0, 0.0: 6}


@dataclass(slots=True)
class _Writer:
    """Writes blocks one after the other."""

    levels: dict[float, int]
    words: frozenset[str]
    parts: list[str] = field(default_factory=list)
    headings: list[Heading] = field(default_factory=list)
    atoms: list[Span] = field(default_factory=list)
    length: int = 0
    bottom: float | None = None  # of the last paragraph, if it goes on elsewhere

    def page(self, number: int, blocks: Sequence[Block]) -> None:
        """Writes a page; its heading stands before what begins on it."""
        rest = list(blocks)
        if rest and self.bottom is not None and self._goes_on(rest[0]):
            self._go_on(rest.pop(0))
        if rest:
            self.headings.append(Heading(_PAGE_LEVEL, f"Page {number}", self.length, self.length))
        for place, block in enumerate(rest):
            if self.bottom is not None and place and block.top > self.bottom and self._goes_on(block):  # next column
                self._go_on(block)
            else:
                self._block(block, rest[place + 1] if place + 1 < len(rest) else None)

    def _go_on(self, block: Block) -> None:
        before = self.parts.pop()
        self.length -= len(before)
        self._put(join(before.rstrip("\n"), block.text, self.words), "\n\n")
        self.bottom = None if _ENDED.search(block.text) else block.bottom

    def _goes_on(self, block: Block) -> bool:
        return (
            not block.is_table
            and not self.level(block)
            and (block.text[:1].islower() or (block.text[:1].isalnum() and is_hyphened(self.parts[-1].rstrip("\n"))))
        )

    def level(self, block: Block, after: Block | None = None) -> int:
        """The level of a heading, 0 for a paragraph."""
        if block.is_table or not any(map(str.isalpha, block.text)) or len(block.text) > _MAX_HEADING:
            return 0
        if level := self.levels.get(round(block.size, 1), 0):
            return level
        is_body = round(block.size, 1) in self.levels
        short = block.lines < 3 and len(block.text) <= _MAX_BOLD_HEADING and block.text[-1] not in ".,;:"
        return self.levels[0.0] if is_body and block.bold and short and after is not None and not after.bold else 0

    def _block(self, block: Block, after: Block | None) -> None:
        start = self.length
        level = self.level(block, after)
        self._put(block.text, "\n\n")
        end = start + len(block.text)
        if level:
            self.headings.append(Heading(level, " ".join(block.text.split()), start, end))
        if block.is_table:
            self.atoms.append(Span(start, end, block.text.partition("\n")[0]))
        self.bottom = None if level or block.is_table or _ENDED.search(block.text) else block.bottom

    def _put(self, text: str, gap: str) -> None:
        self.parts.append(text + gap)
        self.length += len(text) + len(gap)


def _title(paged: Sequence[Sequence[Block]], writer: _Writer) -> str:
    """The largest heading of the first page that has one, but not of a late one."""
    for blocks in paged[:_TITLE_PAGES]:
        followed = zip(blocks, [*blocks[1:], None], strict=False)
        found = [(level, block.text) for block, after in followed if (level := writer.level(block, after))]
        if found:
            return " ".join(min(found, key=lambda pair: pair[0])[1].split())
    return ""
