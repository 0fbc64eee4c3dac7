r"""Text of others, made safe for a terminal.

What a terminal would act upon (escape sequences, cursor moves, bells), what reorders a line (bidirectional embeddings,
overrides and isolates) and what hides in a word is shown as an escape, such as `\x1b` or `\u202e`, and so stays to be
seen. Text of every script stays as it is: the marks of right-to-left text, the joiners of Persian, of Indic scripts and
of emoji, the break marks of Thai and Khmer.

The lists follow Unicode's "Trojan Source" guidance: https://www.unicode.org/reports/tr55/
"""

import re
from typing import Final

# Controls but tab and newline, surrogates, line and paragraph separators.
_CONTROLS: Final = "\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029"
_BIDI: Final = "\u202a-\u202e\u2066-\u2069"
# Invisible, and part of no script's spelling: word joiner and invisible operators, deprecated format characters, byte
# order mark, annotation marks, language tag. Shorthand and musical ones have no business on a terminal either.
_HIDDEN: Final = "\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e001f\U0001bca0-\U0001bca3"
# Invisible, and needed behind letters of scripts further east than Armenian, and behind emoji. Nowhere else, and never
# twice.
_JOINERS: Final = "\u180e\u200b-\u200d"
_NEED_JOINERS: Final = (
    "\u0590-\u180d\u180f-\u1dff\u203c-\u205f\u2070-\u2bff\u2c80-\ua63f\ua6a0-\ua71f\ua800-\ud7ff\uf900-\ufaff\ufb1d-\ufefe"
    "\U00010800-\U0001bc9f\U0001bca4-\U0001ffff"
)
# Tags spell the flags of regions behind a black flag: https://www.unicode.org/reports/tr51/#def_std_emoji_tag_sequence_set
_FLAG: Final = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,31}\U000e007f"

_UNSAFE: Final = re.compile(
    rf"(?P<flag>{_FLAG})"
    rf"|[{_CONTROLS}{_BIDI}{_HIDDEN}\U000e0020-\U000e007f]"
    rf"|(?<![{_NEED_JOINERS}])[{_JOINERS}]"
)
_SURROGATE_ESCAPES: Final = range(0xDC80, 0xDD00)


def terminal_text(text: str) -> str:
    """The text without anything that a terminal acts upon, but newlines and tabs.

    A line that ends in CR LF ends in LF. What is safe is returned as it is, so that doing it twice changes nothing.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(_shown, text.replace("\r\n", "\n"))


def terminal_line(text: str) -> str:
    """The same on one line: a record of a log cannot pretend to be two."""
    return terminal_text(text).replace("\n", "\\n")


def json_text(text: str) -> str:
    r"""A JSON text that says the same and is safe, too: what is unsafe stands in it as `\u001b`."""
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_shown_in_json, text)


def _shown(match: "re.Match[str]") -> str:
    found = match[0]
    if match["flag"]:
        return found
    code = ord(found)
    if code in _SURROGATE_ESCAPES:  # a byte that was not UTF-8, as Python keeps it
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _shown_in_json(match: "re.Match[str]") -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    if match["flag"]:
        return match[0]
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
