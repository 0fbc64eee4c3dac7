"""The planner that needs no model: rules over the words of the request.

It knows three shapes. One question: retrieve, analyze, write. Several questions: a branch for each, in parallel, and
one report. A comparison: a branch for each side and one for what they share, and one report.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1.task_pb2 import Plan, Planner

MAX_BRANCHES: Final = 8
_TITLE_LENGTH: Final = 80

_SENTENCES: Final = re.compile(r"[^.?!。？！؟\n;]+[.?!。？！؟;]*", re.UNICODE)
_QUESTION_MARK: Final = re.compile(r"[?？؟]\s*$")
_LIST_ITEM: Final = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+(?P<item>\S.*)$", re.MULTILINE)
_FLAGS: Final = re.IGNORECASE | re.DOTALL
_COMPARISON: Final = (
    re.compile(r"\bcompar(?:e|ing|ison of)\s+(?P<a>.+?)\s+(?:with|to|and|against|versus|vs\.?)\s+(?P<b>.+)", _FLAGS),
    re.compile(r"\bdifferences?\s+between\s+(?P<a>.+?)\s+and\s+(?P<b>.+)", _FLAGS),
    re.compile(r"\bhow\s+(?:does|do|is|are)\s+(?P<a>.+?)\s+differ(?:ent)?\s+from\s+(?P<b>.+)", _FLAGS),
    re.compile(r"^\s*(?P<a>[^?!.\n]{2,80}?)\s+(?:versus|vs\.?)\s+(?P<b>[^?!.\n]{2,80})", re.IGNORECASE),
)
# Where the second side of a comparison ends and what is to be done with it begins.
_TAIL: Final = re.compile(
    r"[.?!;\n]|,?\s+and\s+(?:write|summari[sz]e|give|explain|list|tell|recommend|say|make)\b|,\s"
    r"|\s+(?:in terms of|with respect to|regarding)\s",
    re.IGNORECASE,
)
_ABOUT: Final = re.compile(r"\b(?:in terms of|with respect to|regarding)\s+(?P<aspect>[^.?!;\n]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Branch:
    """A question of its own within the request."""

    title: str
    question: str


def plan_by_rules(text: str) -> Plan:
    """Makes the plan of a request."""
    text = text.strip()
    if sides := _comparison(text):
        rationale = f"The request compares two things, so each side is looked up on its own: {_names(sides)}."
        return _plan(text, sides, rationale)
    questions = _questions(text)
    if len(questions) > 1:
        return _plan(text, questions, f"The request asks {len(questions)} questions, which are worked on in parallel.")
    return _plan(text, [Branch(_shorten(text), text)], "The request is one question: look it up, analyze, write.")


def _comparison(text: str) -> list[Branch]:
    for pattern in _COMPARISON:
        if match := pattern.search(text):
            first, second = _side(match["a"]), _side(match["b"])
            if first and second:
                about = _ABOUT.search(text)
                aspect = f" in terms of {about['aspect'].strip()}" if about else ""
                return [
                    Branch(first, f"What is said about {first}{aspect}?"),
                    Branch(second, f"What is said about {second}{aspect}?"),
                    Branch(f"{first} and {second}", _shorten(f"How do {first} and {second} compare{aspect}?", 400)),
                ]
    return []


def _side(words: str) -> str:
    return _shorten(_TAIL.split(words, maxsplit=1)[0].strip(" ,:\"'"), 120)


def _questions(text: str) -> list[Branch]:
    items = [match["item"].strip() for match in _LIST_ITEM.finditer(text)]
    if len(items) < 2:
        items = [s for s in (m.group().strip() for m in _SENTENCES.finditer(text)) if _QUESTION_MARK.search(s)]
    unique = list(dict.fromkeys(items))[:MAX_BRANCHES]
    return [Branch(_shorten(question), question) for question in unique]


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
