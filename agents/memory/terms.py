"""The words by which a text is found, as BM25 counts them. Pure.

Milvus' analyzers differ between its editions and none of them reads every language, so words are made here, and
Milvus only splits them at blanks. Case and width are folded, and what nobody sees (soft hyphens, zero-width
characters) is no part of a word. An accent is not always typed: a Latin, Greek or Arabic word that has some stands
with and without them, so that both are found and the exact one first. Vowel points of Hebrew and Arabic and stress
marks of Cyrillic are left out; the marks of all other scripts are as good as letters (kana's voicing, Indic vowel
signs). Digits of all scripts are those of ASCII. English plurals are cut (Harman, "How effective is suffixing?",
1991: the S-stemmer). What is written without blanks becomes pairs of neighbours, and single characters where they are
words.
"""

import itertools
import unicodedata
from collections.abc import Iterator
from typing import Final

import regex

from troupe.core.text.digits import ascii_digits

_UNSEEN: Final = regex.compile(r"[\p{Default_Ignorable_Code_Point}\u0640]+")  # U+0640 stretches Arabic words
# NFKC would make blanks of the voicing marks that stand alone, and 106 of a raised 6 behind 10.
_VOICING: Final = str.maketrans({"\u309b": "\u3099", "\u309c": "\u309a"})
_RAISED: Final = regex.compile(r"(?<=\p{Nd})(?=[\p{No}--[\u2080-\u2089]])", flags=regex.VERSION1)
# `C++` and `C#` are not `C`; a picture is a word of its own.
_WORD: Final = regex.compile(r"(?<![\p{L}\p{M}\p{N}_])[a-z](?:\+\+|#)|[\p{L}\p{M}\p{N}_]+|\p{So}\p{M}*")
_UNSPACED_SCRIPTS: Final = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Myanmar}\p{Khmer}\u30fc"
_UNSPACED: Final = regex.compile(rf"[{_UNSPACED_SCRIPTS}][{_UNSPACED_SCRIPTS}\p{{M}}]*")
_CHARACTER: Final = regex.compile(r"\X")
_MAY_BE_A_WORD: Final = regex.compile(r"[\p{Han}\p{Hangul}]")
# Words that stand as they are between others: Korean ones between blanks, those of katakana between other characters.
_WHOLE: Final = regex.compile(r"[\p{Katakana}\u30fc]{3,}|^\p{Hangul}{3,}$")
_OPTIONAL_MARKS: Final = regex.compile(r"(?<=[\p{Hebrew}\p{Arabic}\p{Syriac}\p{Cyrillic}]\p{M}*)\p{M}+")
_ACCENTED: Final = regex.compile(r"(?<=[\p{Latin}\p{Greek}\p{Arabic}]\p{M}*)\p{M}+")
_RUSSIAN_YO: Final = str.maketrans({"ё": "е"})  # noqa: RUF001 - Cyrillic is meant


def terms(text: str) -> str:
    """The terms of a text, in order, separated by blanks. They hold letters, digits and underscores only."""
    return " ".join(_bare_of_marks(term) for word in _WORD.findall(_fold(text)) for term in _terms_of(word))


def _fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    seen = _RAISED.sub(" ", _UNSEEN.sub("", text).translate(_VOICING))
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold())
    return ascii_digits(folded.translate(_RUSSIAN_YO))


def _terms_of(word: str) -> Iterator[str]:
    position = 0
    for run in _UNSPACED.finditer(word):
        yield from _spaced(word[position : run.start()])
        yield from _unspaced(run[0])
        position = run.end()
    yield from _spaced(word[position:])


def _spaced(word: str) -> Iterator[str]:
    if not word or word.isascii():
        yield from (_stem(word),) if word else ()
        return
    exact = _OPTIONAL_MARKS.sub("", word)
    bare = unicodedata.normalize("NFC", _ACCENTED.sub("", unicodedata.normalize("NFD", exact)))
    yield from dict.fromkeys((_stem(bare), _stem(exact)))


def _unspaced(run: str) -> Iterator[str]:
    characters = _CHARACTER.findall(run)
    if len(characters) == 1:
        yield run
        return
    yield from (character for character in characters if _MAY_BE_A_WORD.match(character))
    yield from map("".join, itertools.pairwise(characters))
    yield from _WHOLE.findall(run)


def _bare_of_marks(term: str) -> str:
    """Analyzers cut words at marks, so a mark is written with letters: `q93fq` for U+093F."""
    if term.isalnum():
        return term
    return "".join(c if c.isalnum() or c == "_" else f"q{ord(c):x}q" for c in term)


def _stem(word: str) -> str:
    if len(word) < 4 or not word.endswith("s"):
        return word
    if word.endswith("ies"):
        return word if word.endswith(("eies", "aies")) else word[:-3] + "y"
    if word.endswith("es"):
        return word if word.endswith(("aes", "ees", "oes")) else word[:-1]
    return word if word.endswith(("us", "ss")) else word[:-1]
