"""Which parts of HTML a reader sees, and which of them stand in a line of their own."""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from selectolax.lexbor import LexborNode

Attributes = Mapping[str, str | None]

BLOCKS: Final = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "dialog",
        "dir",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hgroup",
        "hr",
        "legend",
        "listing",
        "main",
        "menu",
        "ol",
        "p",
        "plaintext",
        "pre",
        "search",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "ul",
        "xmp",
    ]
)
LINES: Final = frozenset(["br", "dd", "dt", "li", "tr"])
HEADINGS: Final = frozenset(["h1", "h2", "h3", "h4", "h5", "h6"])
PREFORMATTED: Final = frozenset(["listing", "plaintext", "pre", "xmp"])

_DROPPED: Final = frozenset(
    [
        "-comment",
        "applet",
        "area",
        "audio",
        "base",
        "canvas",
        "colgroup",
        "datalist",
        "defs",
        "desc",
        "embed",
        "frame",
        "frameset",
        "head",
        "iframe",
        "link",
        "map",
        "meta",
        "metadata",
        "nav",
        "noembed",
        "noframes",
        "object",
        "rp",
        "script",
        "select",
        "source",
        "style",
        "template",
        "textarea",
        "title",
        "track",
        "video",
    ]
)
_INLINE: Final = frozenset(["a", "b", "em", "i", "img", "small", "span", "strong", "sup", "svg"])
_LABELS: Final = frozenset([*HEADINGS, "dt", "label", "legend", "summary", "th"])
_INNER: Final = frozenset(["article", "aside", "blockquote", "figure", "li", "main", "section", "td"])
# What themes and generators put beside the text, which is seen only under the pointer or not at all.
_FURNITURE: Final = frozenset(
    [
        "anchor-link",
        "anchorjs-link",
        "header-anchor",
        "headerlink",
        "heading-anchor",
        "linenodiv",
        "linenos",
        "mw-editsection",
        "mw-jump-link",
        "skip-link",
        "skip-to-content",
        "skiplink",
    ]
)
_NOTES: Final = (
    "[id^='fn'], [id*='footnote'], [class*='footnote'], [id*='endnote'], [class*='endnote'],"
    " [role='doc-endnotes'], [role='doc-footnote']"
)
_DEFINED_BLOCKS: Final = "p, div, ul, ol, dl, pre, table, blockquote, figure, h1, h2, h3, h4, h5, h6"
_REFERENCES: Final = frozenset(
    ["footnote-ref", "footnote-reference", "footnoteref", "footnote_ref", "fnref", "noteref", "note-ref", "endnote-ref"]
)
_SCRIPTS: Final = {
    "sup": frozenset(["sup", "super", "superscript", "text-top"]),
    "sub": frozenset(["sub", "subscript", "text-bottom"]),
}
_LENGTH: Final = re.compile(r"([+-]?(?:\d{1,4}(?:\.\d{0,4})?|\.\d{1,4}))(em|ex|pt|px|rem|%)")
_UNITS: Final = {"em": 1.0, "ex": 2.0, "pt": 12.0, "px": 16.0, "rem": 1.0, "%": 100.0}  # in a height of the font
_LEAST_SHIFT: Final = 0.15
_MOST_SHIFT: Final = 1.0
_ICON: Final = re.compile(r"icon|emoji|line-?n|lineno|anchor|permalink", re.IGNORECASE)
_HEARD: Final = (
    "math, [class*='sr-only'], [class*='hidden'], [class*='screen-reader'], [class*='offscreen'], [class*='assistive']"
)
_MAX_MEANINGS: Final = 8  # of one name
_COMMENT: Final = re.compile(r"/\*(?:[^*]|\*(?!/))*(?:\*/|\Z)")
_DECLARATION: Final = re.compile(r"""(?:"[^"]*"?|'[^']*'?|\([^)]*\)?|[^;"'(])+""")


def is_unseen(node: LexborNode, tag: str, attributes: Attributes, *, without_scripts: bool) -> bool:
    """Whether a reader does not see it, or only as furniture."""
    if tag in _DROPPED:
        return True
    if tag in _CONDITIONAL and not _CONDITIONAL[tag](node, attributes):
        return tag != "noscript" or not without_scripts
    return bool(attributes) and _is_marked_unseen(node, tag, attributes)


def script_of(tag: str, attributes: Attributes) -> str:
    """`sup` or `sub` where the text is raised or lowered, by tag, class or style; `ref` where it refers to a note."""
    if tag in ("sub", "sup"):
        return tag
    if not attributes or tag in BLOCKS or tag in LINES:
        return ""
    classes = frozenset((attributes.get("class") or "").lower().split())
    if _refers(tag, attributes, classes):
        return "ref"
    style = _style(attributes)
    named = style.get("font-variant-position") or attributes.get("baseline-shift") or style.get("baseline-shift") or ""
    for script, names in _SCRIPTS.items():
        if not names.isdisjoint([*classes, named.strip().lower(), style.get("vertical-align", "")]):
            return script
    return _moved(style, named)


def _refers(tag: str, attributes: Attributes, classes: frozenset[str]) -> bool:
    if attributes.get("role") == "doc-noteref" or "noteref" in (attributes.get("epub:type") or "").split():
        return True
    return not _REFERENCES.isdisjoint(classes) or (tag == "a" and "footnote" in classes)


def _moved(style: Mapping[str, str], shift: str) -> str:
    """Which way a style moves the text off its line, further than signs are moved to look even."""
    up = _ems(style.get("vertical-align", "")) or _ems(shift)
    if style.get("position") == "relative":
        up = up or _ems(style.get("bottom", "")) or -_ems(style.get("top", ""))
    if not _LEAST_SHIFT <= abs(up) <= _MOST_SHIFT:
        return ""
    return "sup" if up > 0 else "sub"


def _ems(length: str) -> float:
    """A length in heights of the font."""
    found = _LENGTH.fullmatch(length)
    return float(found[1]) / _UNITS[found[2]] if found else 0.0


def is_struck(tag: str, attributes: Attributes) -> bool:
    """Whether the text is struck through."""
    if tag in ("del", "s", "strike"):
        return True
    style = _style(attributes)
    return any("line-through" in style.get(name, "") for name in ("text-decoration", "text-decoration-line"))


def definition_joint(node: LexborNode, tag: str) -> str:
    """What joins a name, or what it means, to what stands before it in its list; empty where a line begins."""
    before = _element_before(node)
    if before is None or before.tag not in ("dd", "dt") or _has_blocks(before) or (tag == "dd" and _has_blocks(node)):
        return ""
    if before.tag == "dt":
        return ": " if tag == "dd" else ", "
    return "; " if tag == "dd" and _is_defined(before) else ""


def _element_before(node: LexborNode) -> LexborNode | None:
    before = node.prev
    while before is not None and before.tag in ("-comment", "-text"):
        before = before.prev
    return before


def _has_blocks(node: LexborNode) -> bool:
    """Whether it is a heading, or more than one paragraph."""
    blocks = node.css(_DEFINED_BLOCKS)
    return len(blocks) > 1 or any(block.tag not in ("div", "p") for block in blocks)


def _is_defined(meaning: LexborNode) -> bool:
    """Whether a name stands before it; some lists only indent."""
    place: LexborNode | None = meaning
    for _ in range(_MAX_MEANINGS):
        if place is None or place.tag == "dt":
            break
        place = _element_before(place)
    return place is not None and place.tag == "dt"


def is_invisible(node: LexborNode, attributes: Attributes) -> bool:
    """Whether nothing is drawn where it stands, not even of what is in it."""
    if shows(attributes) is not False or _shows_formula(node):
        return False
    return node.css_first("[style*='visib' i]:not([style*='hidden' i])") is None


def shows(attributes: Attributes) -> bool | None:
    """Whether its own text is drawn, which that in it may be without it; None if that is as around it."""
    stated = _style(attributes).get("visibility")
    return stated == "visible" if stated in ("collapse", "hidden", "visible") else None


def row_part(attributes: Attributes) -> str:
    """`row` or `cell` of what a style makes such a part of a table."""
    return {"table-row": "row", "table-cell": "cell"}.get(_style(attributes).get("display", ""), "")


def follows_cell(node: LexborNode) -> bool:
    """Whether another cell stands before it in its row."""
    before = _element_before(node)
    return before is not None and row_part(before.attributes) == "cell"


def heading_level(tag: str, attributes: Attributes) -> int:
    """The level of a heading, 0 for what is none."""
    if tag in HEADINGS:
        return int(tag[1])
    if attributes and attributes.get("role") == "heading":
        level = attributes.get("aria-level") or "2"
        return int(level) if level.isascii() and level.isdigit() and 0 < len(level) < 3 and int(level) else 2
    return 0


def _style(attributes: Attributes) -> Mapping[str, str]:
    """What the element's style declares, in small letters."""
    style = attributes.get("style") if attributes else None
    return _declared(style) if style else {}


@functools.lru_cache(maxsize=256)
def _declared(style: str) -> Mapping[str, str]:
    declared = (part.partition(":") for part in _DECLARATION.findall(_COMMENT.sub("", style.lower())))
    return {name.strip(): value.replace("!important", "").strip() for name, _, value in declared}


def _is_marked_unseen(node: LexborNode, tag: str, attributes: Attributes) -> bool:
    if "hidden" in attributes and (attributes["hidden"] or "").lower() != "until-found":
        return True
    if attributes.get("aria-hidden") == "true" and tag in _INLINE and _only_decorates(node, tag, attributes):
        return True
    if attributes.get("role") in ("navigation", "menubar"):
        return True
    if _style(attributes).get("display") == "none" and not _shows_formula(node):
        return True
    if is_invisible(node, attributes):
        return True
    classes = attributes.get("class")
    return bool(classes) and not _FURNITURE.isdisjoint((classes or "").split())


def _only_decorates(node: LexborNode, tag: str, attributes: Attributes) -> bool:
    """Whether it is a sign, or what stands beside it says the same to those who hear the page."""
    beside = [place for place in _beside(node) if place.child or (place.text_content or "").strip()]
    text = _letters(node)
    if tag in ("i", "svg") or not text or _ICON.search(attributes.get("class") or ""):
        return bool(beside)
    return any(text in _letters(place) or (place.child and place.css_first(_HEARD)) for place in beside)


def _beside(node: LexborNode) -> Iterator[LexborNode]:
    """The nodes next to it that those who hear the page hear."""
    before, after = node.prev, node.next
    for _ in range(4):
        for place in (before, after):
            if place is not None and place.attributes.get("aria-hidden") != "true":
                yield place
        before = before.prev if before is not None else None
        after = after.next if after is not None else None


def _letters(node: LexborNode) -> str:
    return "".join(filter(str.isalnum, (node.text() or "").lower()))


def _shows_formula(node: LexborNode) -> bool:
    """Wikis hide a formula's MathML and show a picture of it."""
    return node.child is not None and node.child.tag == "math"


def _is_label(node: LexborNode) -> bool:
    """Whether a button is the heading of what it opens."""
    place = node.parent
    for _ in range(3):
        if place is None:
            return False
        if place.tag in _LABELS:
            return True
        place = place.parent
    return False


def _is_of_page(footer: LexborNode) -> bool:
    """Whether a footer is the imprint of the whole page, without notes."""
    place = footer.parent
    while place is not None and place.tag != "body":
        if place.tag in _INNER:
            return False
        place = place.parent
    return footer.css_first(_NOTES) is None


_RETURNS: Final = frozenset(["↑", "↩", "↩︎", "↩️", "⤴", "↵", "⏎", "^", "¶", "#", "§", "🔗"])


def _goes_back(link: LexborNode, attributes: Attributes) -> bool:
    """Whether a link is the arrow from a note to its mark, or the sign beside a heading."""
    return (attributes.get("href") or "").startswith("#") and (link.text() or "").strip() in _RETURNS


_CONDITIONAL: Final[Mapping[str, Callable[[LexborNode, Attributes], bool]]] = {
    "a": lambda node, attributes: not _goes_back(node, attributes),
    "button": lambda node, _: _is_label(node),
    "dialog": lambda _, attributes: "open" in attributes,
    "footer": lambda node, _: not _is_of_page(node),
    "noscript": lambda _node, _attributes: False,
}
