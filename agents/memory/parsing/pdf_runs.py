"""The characters of a page put together to runs: what stands close together on one line. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from troupe.agents.memory.parsing.scripts import is_numeral, lowered, raised

_GAP: Final = 1.0  # of the height; wider is a place of its own
_SPACE: Final = 0.17  # of the height; wider without a space is a space
_SAME_LINE: Final = 0.12
_SMALLER: Final = 0.85
_RAISED_SMALL: Final = 0.15
_RAISED: Final = 0.25
_LOWERED: Final = 0.07
_MAX_SCRIPT: Final = 12  # code points
_LEADER: Final = re.compile(r"(?:\s*[.·]){5,}\s*")
_LIGATURES: Final = {
    "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "ft", "ﬆ": "st",
}  # fmt: skip


class Glyph(NamedTuple):
    """A character: where it begins and ends, its base line and height, and by how many quarters it is turned."""

    text: str
    left: float
    right: float
    base: float
    height: float
    size: float = 0.0  # of the font; heights differ between fonts of one size
    bold: bool = False
    turn: int = 0
    bottom: float = 0.0
    top: float = 0.0
    origin: float = 0.0
    made: bool = False  # a space that nobody drew


@dataclass(slots=True)
class Run:
    """Text on one line, without a wide gap."""

    left: float
    right: float
    base: float
    height: float
    size: float
    bold: bool
    text: str


def upright(glyphs: Iterable[Glyph]) -> tuple[list[Glyph], list[Glyph]]:
    """The page's text, turned upright if most of it is turned, and what stands across it."""
    every = list(glyphs)
    turns: dict[int, int] = {}
    for glyph in every:
        turns[glyph.turn] = turns.get(glyph.turn, 0) + 1
    turn = max(turns, key=lambda key: turns[key], default=0)
    along = [glyph for glyph in every if glyph.turn == turn]
    across = [glyph for glyph in every if glyph.turn != turn]
    return (along if turn <= 0 else [_turned(glyph, turn) for glyph in along]), across


def _turned(glyph: Glyph, turn: int) -> Glyph:
    """The glyph with the page turned so that it stands upright."""
    if turn == 2:
        left, right, base = -glyph.right, -glyph.left, -glyph.base
    elif turn == 3:
        left, right, base = glyph.bottom, glyph.top, -glyph.origin
    else:
        left, right, base = -glyph.top, -glyph.bottom, glyph.origin
    height = glyph.height if turn == 2 else glyph.right - glyph.left
    return glyph._replace(left=left, right=right, base=base, height=height if not glyph.made else 0.0)


def runs_of(glyphs: Iterable[Glyph]) -> list[Run]:
    """Runs in the order in which they are drawn, with raised and lowered text in plain characters."""
    plain = list(_plain_runs(glyphs))
    notes = frozenset(
        mark.text.strip() for before, mark, run in _threes(plain) if run is not None and _opens_note(before, mark, run)
    )
    joined: list[Run] = []
    taken = 0
    for number, (before, run, after) in enumerate(_threes(plain)):
        if number < taken:
            continue
        taken = number + 1
        if after is not None and _opens_note(before, run, after):
            mark = raised(run.text, before="", after=" ")
            joined.append(replace(after, left=run.left, text=f"{mark} {after.text}"))
            taken += 1
        elif joined and (direction := _direction(joined[-1], run)):
            taken += _put_script(joined[-1], run, direction, after, notes)
        elif joined and (_continues(joined[-1], run) or _is_kerned(joined[-1], run)):
            _extend(joined[-1], run)
        else:
            joined.append(run)
    for run in joined:
        run.text = _LEADER.sub(" … ", run.text).strip()
    return [run for run in joined if run.text != "…"]


def _threes(runs: Sequence[Run]) -> Iterator[tuple[Run | None, Run, Run | None]]:
    """Each run between those before and after it."""
    return zip([None, *runs], runs, [*runs[1:], None], strict=False)


def _plain_runs(glyphs: Iterable[Glyph]) -> Iterator[Run]:
    """Runs of one size on one base line."""
    run: Run | None = None
    spaced = False
    for glyph in glyphs:
        if not glyph.text.strip():
            spaced = True
            continue
        text = _LIGATURES.get(glyph.text, glyph.text)
        if run is not None and abs(glyph.base - run.base) <= 0.5 and 0.75 < glyph.height / run.height < 1.33:
            gap = max(glyph.left - run.right, run.left - glyph.right)
            if gap < run.height * _GAP:
                run.text += f" {text}" if spaced or gap > run.height * _SPACE else text
                run.left, run.right = min(run.left, glyph.left), max(run.right, glyph.right)
                spaced = False
                continue
        if run is not None:
            yield run
        spaced = False
        run = Run(glyph.left, glyph.right, glyph.base, glyph.height, glyph.size, glyph.bold, text)
    if run is not None:
        yield run


def _direction(run: Run, script: Run) -> int:
    """1 if the second is raised against the end of the first, -1 if lowered, else 0."""
    gap = script.left - run.right
    least = -0.1 if script.text[:1].isalpha() else -0.6
    if not least * run.height < gap < 0.5 * run.height or len(script.text) > _MAX_SCRIPT:
        return 0
    offset, smaller = (script.base - run.base) / run.height, script.height < _SMALLER * run.height
    if (_RAISED_SMALL if smaller else _RAISED) < offset < 0.9:
        return 1
    return -1 if smaller and -0.6 < offset < -_LOWERED else 0


def _opens_note(before: Run | None, mark: Run, run: Run) -> bool:
    """Whether a note begins: a raised mark before text, with nothing before it on its line."""
    offset = (mark.base - run.base) / run.height
    return (
        mark.height < _SMALLER * run.height
        and 0.1 < offset < 0.9
        and -0.1 < (run.left - mark.right) / run.height < 1.0
        and is_numeral(mark.text)
        and (before is None or not _direction(before, mark))
    )


def _is_kerned(run: Run, after: Run) -> bool:
    """Whether characters are pushed into each other, as in TeX's name."""
    gap, offset = after.left - run.right, abs(after.base - run.base)
    return -0.6 * run.height < gap <= -0.1 * run.height and offset < 0.35 * run.height and after.text[:2].isalpha()


def _put_script(run: Run, script: Run, direction: int, after: Run | None, notes: frozenset[str]) -> int:
    """Appends the script, and what follows on the line; returns how many runs more were taken."""
    follows = after is not None and _continues(replace(run, right=max(run.right, script.right)), after)
    spaced = follows and after is not None and after.left - script.right > run.height * _SPACE
    behind = (" " if spaced else after.text[:1]) if follows and after is not None else ""
    if direction > 0:
        run.text += raised(script.text, before=run.text, after=behind, defined=script.text.strip() in notes)
    else:
        run.text += lowered(script.text, before=run.text, after=behind)
    run.right = max(run.right, script.right)
    if follows and after is not None:
        run.text += (" " if spaced and not run.text.endswith(" ") else "") + after.text
        run.right = max(run.right, after.right)
    return int(follows)


def _continues(run: Run, after: Run) -> bool:
    height = max(run.height, after.height)
    gap = max(after.left - run.right, run.left - after.right)
    return abs(after.base - run.base) <= _SAME_LINE * height and gap < _GAP * height


def _extend(run: Run, after: Run) -> None:
    gap = max(after.left - run.right, run.left - after.right)
    run.text += f" {after.text}" if gap > _SPACE * max(run.height, after.height) else after.text
    run.left, run.right = min(run.left, after.left), max(run.right, after.right)
    if len(after.text) > len(run.text) / 2:
        run.height, run.size, run.bold = after.height, after.size, after.bold
