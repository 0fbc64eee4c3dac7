"""The words that carry the meaning of a text."""

import re
import unicodedata

from troupe.core.text.digits import ascii_digits

_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
# Vowel signs, points and accents are parts of words, which `\w` does not know.
_MARKS = "".join(c for c in map(chr, range(0x300, 0x20000)) if unicodedata.category(c).startswith("M"))
_MARK = re.compile(f"[{_MARKS}]")
_MARKED_TOKEN = re.compile(rf"[^\W_][{_MARKS}]*(?:['’]?[^\W_][{_MARKS}]*)*")
_SPACELESS = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)
# Soft hyphens, zero-width characters and marks of direction: nobody sees them.
_UNSEEN = re.compile("[\u00ad\u034f\u061c\u0640\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff]")
# NFKC would make blanks of the voicing marks that stand alone, and 106 of a raised 6 behind 10.
_VOICING = str.maketrans({"\u309b": "\u3099", "\u309c": "\u309a"})
_RAISED = re.compile(r"(?<=\d)(?=[\u00b2\u00b3\u00b9\u2070-\u2079\u00bc-\u00be\u2150-\u215f])")
_STOP_LIST = """
    a about above after again against all also am an and any are aren't as at be because been before being below
    between both but by can cannot could did do does doing don't down during each either else ever few for from
    further get give given had has have having he her here hers herself him himself his how however i if in into is
    it its itself just let may me might more most much must my myself no nor not of off on once one only or other
    our ours ourselves out over own per please same shall she should so some such tell than that the their theirs
    them themselves then there these they this those through thus to too under until up upon us use used using very
    via was we were what what's when where whether which while who whom whose why will with within without would
    you your yours yourself does happen happens mean means work works explain describe way ways list name
"""
_STOP = frozenset(_STOP_LIST.split())


def content_words(text: str) -> frozenset[str]:
    """The stems of the words that are no function words; scripts without spaces give pairs of characters."""
    folded = _folded(text)
    words = {_stem(word) for word in _tokens(folded) if word not in _STOP}
    for run in _SPACELESS.findall(folded):
        words.update(run[i : i + 2] for i in range(max(1, len(run) - 1)))
    return frozenset(words)


def count_words(text: str) -> int:
    """How many words there are; a pair of characters counts as one in scripts without spaces."""
    spaceless = sum(len(run) for run in _SPACELESS.findall(text))
    return len(_tokens(text)) + spaceless // 2


def _tokens(text: str) -> list[str]:
    """The words of scripts with spaces."""
    spaced = _SPACELESS.sub(" ", text)
    return (_MARKED_TOKEN if _MARK.search(spaced) else _TOKEN).findall(spaced)


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    seen = _RAISED.sub(" ", _UNSEEN.sub("", text.translate(_VOICING)))
    return ascii_digits(unicodedata.normalize("NFKC", seen).casefold())


def _stem(word: str) -> str:
    """Cuts the commonest English endings, so that `retries`, `retrying` and `retried` meet `retry`."""
    word = re.sub(r"['’]s?$", "", word)
    if len(word) <= 3 or not word.isascii():
        return word
    for ending, least, replacement in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= least:
            word = word[: -len(ending)] + replacement
            break
    if len(word) > 3 and word[-1] == word[-2]:
        return word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


# Ending, the least number of letters before it, what takes its place; the first that fits is cut.
_ENDINGS = (
    ("ations", 4, ""),
    ("ation", 4, ""),
    ("ments", 3, ""),
    ("ment", 3, ""),
    ("ities", 3, ""),
    ("ness", 3, ""),
    ("ies", 2, "y"),
    ("ied", 2, "y"),
    ("ings", 3, ""),
    ("ing", 3, ""),
    ("edly", 3, ""),
    ("ers", 4, ""),
    ("er", 4, ""),
    ("ed", 3, ""),
    ("ss", 1, "ss"),
    ("us", 1, "us"),
    ("es", 3, ""),
    ("ly", 4, ""),
    ("ity", 4, ""),
    ("s", 3, ""),
)
