"""The planner that needs no model: rules over the words of the request.

One question: retrieve, analyze, write. Several questions, or the items of a list: a branch for each, in parallel, and
one report. A comparison: a branch for each side and one for how they compare. A request may mix them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1.task_pb2 import Plan, Planner

MAX_BRANCHES: Final = 12
_MAX_SIDES: Final = 4
_MAX_COMPARISON: Final = 1_000  # characters; the expressions below take more than linear time
_TITLE_LENGTH: Final = 80

_SENTENCES: Final = re.compile(r"[^.?!。？！؟\n;]+(?:\.(?=\w)[^.?!。？！؟\n;]+)*[.?!。？！؟;]*")
_QUESTION_MARK: Final = re.compile(r"[?？؟]\s*$")
_LIST_ITEM: Final = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+(?P<item>\S.*)$", re.MULTILINE)
_COMPARISON: Final = (
    re.compile(r"^(?:please\s+)?compare\s+(?P<sides>.+)", re.IGNORECASE),
    re.compile(r"^(?:make\s+|write\s+)?(?:an?\s+)?comparison\s+(?:of|between)\s+(?P<sides>.+)", re.IGNORECASE),
    re.compile(r"\bdifferences?\s+between\s+(?P<sides>.+)", re.IGNORECASE),
    re.compile(r"^how\s+(?:does|do|is|are)\s+(?P<sides>.+?\s+differ(?:ent)?\s+from\s+.+)", re.IGNORECASE),
    re.compile(r"^(?P<sides>.{2,80}?\s+(?:versus|vs\.?)\s+.{2,80})", re.IGNORECASE),
)
# Where the sides of a comparison end, and what is to be done with it or what it is about begins.
_TAIL: Final = re.compile(
    r"[.?!;]?\s*$|,?\s+(?:and|then)\s+(?:write|summari[sz]e|give|explain|list|tell|recommend|say|make)\b.*"
    r"|\s+(?:in terms of|with respect to|regarding)\s.*",
    re.IGNORECASE,
)
_AGAINST: Final = re.compile(r"\s+(?:with|against|versus|vs\.?|differ(?:ent)?\s+from)\s+", re.IGNORECASE)
_TO: Final = re.compile(r"\s+to\s+", re.IGNORECASE)
_AND: Final = re.compile(r"\s*,\s*(?:and\s+|or\s+)?|\s+and\s+", re.IGNORECASE)
_ABOUT: Final = re.compile(r"\b(?:in terms of|with respect to|regarding)\s+(?P<aspect>[^.?!;\n]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Branch:
    """A question of its own within the request."""

    title: str
    question: str


def plan_by_rules(text: str) -> Plan:
    """Makes the plan of a request."""
    text = text.strip()
    found = [branch for part in _parts(text) for branch in _comparison(part) or _question(part)]
    branches = list(dict.fromkeys(found))
    if len(branches) < 2:
        return _plan(text, [Branch(_shorten(text), text)], "The request is one question: look it up, analyze, write.")
    rationale = f"The request has {len(branches)} parts, which are worked on in parallel: {_names(branches)}."
    if len(branches) > MAX_BRANCHES:
        rationale += f" Only the first {MAX_BRANCHES} are taken up; ask the others in a task of their own."
    return _plan(text, branches[:MAX_BRANCHES], _shorten(rationale, 2_000))


def _parts(text: str) -> list[str]:
    """The items of a list as questions, if there is one; then the sentences outside of it."""
    items = [match["item"].strip() for match in _LIST_ITEM.finditer(text)]
    if len(items) < 2:
        return [match.group().strip() for match in _SENTENCES.finditer(text)]
    asked = [item if _QUESTION_MARK.search(item) or _comparison(item) else item.rstrip(" .;,") + "?" for item in items]
    return asked + [match.group().strip() for match in _SENTENCES.finditer(_LIST_ITEM.sub("", text))]


def _question(part: str) -> list[Branch]:
    return [Branch(_shorten(part), part)] if _QUESTION_MARK.search(part) else []


def _comparison(part: str) -> list[Branch]:
    if len(part) > _MAX_COMPARISON:
        return []
    for pattern in _COMPARISON:
        if match := pattern.search(part):
            sides = _sides(match["sides"])
            if len(sides) > 1:
                return _branches_of(sides, part)
    return []


def _sides(words: str) -> list[str]:
    """What is compared; `to` divides only where nothing plainer does."""
    pieces = _AGAINST.split(_TAIL.sub("", words))
    if len(pieces) == 1:
        pieces = _AND.split(pieces[0])
        pieces = _TO.split(pieces[0], maxsplit=1) if len(pieces) == 1 else pieces
    else:
        pieces = [side for piece in pieces for side in _AND.split(piece)]
    sides = [_shorten(piece.strip(" ,:\"'"), 120) for piece in pieces]
    return list(dict.fromkeys(side for side in sides if side))[:_MAX_SIDES]


def _branches_of(sides: Sequence[str], part: str) -> list[Branch]:
    about = _ABOUT.search(part)
    aspect = f" in terms of {about['aspect'].strip()}" if about else ""
    together = f"{', '.join(sides[:-1])} and {sides[-1]}"
    return [
        *(Branch(side, f"What is said about {side}{aspect}?") for side in sides),
        Branch(together, _shorten(f"How do {together} compare{aspect}?", 600)),
    ]


def _plan(text: str, branches: Sequence[Branch], rationale: str) -> Plan:
    steps: list[Step] = []
    for number, branch in enumerate(branches, start=1):
        suffix = f"-{number}" if len(branches) > 1 else ""
        retrieve, analyze = f"retrieve{suffix}", f"analyze{suffix}"
        steps.append(_step(retrieve, "retriever", f"Find passages: {branch.title}", branch.question))
        steps.append(_step(analyze, "analyzer", f"Analyze: {branch.title}", branch.question, [retrieve]))
    analyses = [step.step_id for step in steps if step.agent == "analyzer"]
    steps.append(_step("write", "writer", "Write the report", text, analyses))
    return Plan(steps=steps, planner=Planner.PLANNER_RULES, rationale=rationale)


def _step(step_id: str, agent: str, title: str, instruction: str, depends_on: Sequence[str] = ()) -> Step:
    return Step(
        step_id=step_id, agent=agent, title=_shorten(title, 200), instruction=instruction, depends_on=depends_on
    )


def _names(branches: Sequence[Branch]) -> str:
    return ", ".join(f"“{branch.title}”" for branch in branches)


def _shorten(text: str, length: int = _TITLE_LENGTH) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"
