"""What a question asks for, and how well a sentence fits that by its form."""

import re

from troupe.core.text.blocks import Kind

from .words import count_words

_POINTING = ("it ", "this ", "that ", "these ", "those ", "they ", "he ", "she ", "such ", "but ", "so ")
_ASKS_DATE = re.compile(r"\bwhen (?:was|were|did)\b|\b(?:what|which) (?:year|date|day)\b", re.IGNORECASE)
_DATE = re.compile(
    r"\b(?:1\d|20)\d\d\b|\b(?:jan|feb|mar|apr|may|june?|july?|aug|sep|oct|nov|dec)[a-z]*\.? \d|\bcentury\b",
    re.IGNORECASE,
)
_ASKS_NUMBER = re.compile(
    r"\bhow (?:many|much|long|often|fast|large|old|far)\b|\bwhat (?:share|percentage)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|hundreds?|thousands?|millions?|once|twice|half)\b",
    re.IGNORECASE,
)
# Asks what something is or does; the answer is a sentence that begins with its name, above all `X is …`.
_ASKS_WHAT = re.compile(
    r"what (?:is|are|was|were|does|do|can) (?:an? |the )?(?P<name>[^?,;]{2,50}?)"
    r"(?: (?:do|mean|offer|provide|(?P<use>used for|for|about)))?\s*\??$",
    re.IGNORECASE,
)
_TELLS = re.compile(
    r"\W*(?:is|are|was|were|can|does|provides?|offers?|lets?|makes?|allows?|helps?|enables?|supports?|gives?|means?)\b",
    re.IGNORECASE,
)
_MARKUP = '*_["“ '
_DIGITS = re.compile(r"\d+")
_MIN_WORDS_OF_ROW = 8
# Asks for a property of something: of no use is what speaks of the thing and never of the property.
_ASKS_ATTRIBUTE = re.compile(
    r"(?:what|who|which) (?:is|are|was|were) the (?P<attribute>[^?,;]{2,40}?) (?:of|for|in|at|behind)\b", re.IGNORECASE
)
_ABSTRACT = re.compile(
    r"\b(?:purpose|role|point|use|goal|aim|idea|job|difference|meaning|advantage|benefit|reason|way|kind|main)s?\b",
    re.IGNORECASE,
)


def attribute(question: str) -> str:
    """The property that the question asks for, such as `price`; empty when it asks for none by name."""
    asked = _ASKS_ATTRIBUTE.match(question)
    return "" if not asked or _ABSTRACT.search(asked["attribute"]) else asked["attribute"]


def weight(text: str, kind: Kind, question: str) -> float:
    """Less for sentences that read badly alone, and for those without the number or date that is asked for."""
    wanted = _wanted(question)
    value = _naming(text, question)
    if kind is Kind.ROW:
        value *= 0.9 if wanted or count_words(_DIGITS.sub("", text)) >= _MIN_WORDS_OF_ROW else 0.75
    elif text.lower().startswith(_POINTING):
        value *= 0.95
    return value * wanted[1] if wanted and not wanted[0].search(text) else value


def _naming(text: str, question: str) -> float:
    """More for sentences about the thing that the question asks about as a whole."""
    asked = _ASKS_WHAT.match(question)
    bare = text.lstrip(_MARKUP)
    if not asked or not bare.casefold().startswith(asked["name"].casefold()):
        return 1.0
    return 1.25 if not asked["use"] and _TELLS.match(bare, len(asked["name"])) else 1.1


def _wanted(question: str) -> tuple[re.Pattern[str], float] | None:
    """What an answer must hold, and what a sentence without it is worth."""
    if _ASKS_DATE.search(question):
        return _DATE, 0.6
    return (_NUMBER, 0.8) if _ASKS_NUMBER.search(question) else None
