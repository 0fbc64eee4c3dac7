"""The words by which a text is found, as BM25 counts them. Pure.

Milvus' analyzers differ between its editions and none of them reads every language, so words are made here, and
Milvus only splits them at blanks. Case, width, accents and vowel points are folded; English plurals are cut
(Harman, "How effective is suffixing?", 1991: the S-stemmer); Chinese, Japanese and Korean, written without blanks,
become pairs of neighbours.
"""

import itertools
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_WORD: Final = re.compile(r"\w+")
_UNSPACED: Final = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


def terms(text: str) -> str:
    """The terms of a text, in order, separated by blanks."""
    return " ".join(term for word in _WORD.findall(_fold(text)) for term in _terms_of(word))


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(c for c in decomposed if unicodedata.category(c) not in ("Mn", "Me"))
    return unicodedata.normalize("NFKC", bare)


def _terms_of(word: str) -> Iterator[str]:
    position = 0
    for run in _UNSPACED.finditer(word):
        if run.start() > position:
            yield _stem(word[position : run.start()])
        yield from _pairs(run[0])
        position = run.end()
    if position < len(word):
        yield _stem(word[position:])


def _pairs(run: str) -> Iterator[str]:
    if len(run) == 1:
        yield run
    yield from map("".join, itertools.pairwise(run))


def _stem(word: str) -> str:
    if len(word) < 4 or not word.endswith("s"):
        return word
    if word.endswith("ies"):
        return word if word.endswith(("eies", "aies")) else word[:-3] + "y"
    if word.endswith("es"):
        return word if word.endswith(("aes", "ees", "oes")) else word[:-1]
    return word if word.endswith(("us", "ss")) else word[:-1]
