"""MathML on one line: fractions keep their stroke, powers their mark."""

from collections.abc import Callable, Sequence
from typing import Final

from selectolax.lexbor import LexborNode

_MAX_DEPTH: Final = 40
_UNSEEN: Final = frozenset(["annotation", "annotation-xml", "mphantom", "-comment", "none", "mprescripts"])
_SPACED: Final = frozenset("=<>≤≥≈≠±×÷→∈+\u2212")


def linear(node: LexborNode, depth: int = 0) -> str:
    """The formula as text, for instance `x^2`, `(a+b)/2`, `√(x)`."""
    tag = node.tag or ""
    if tag == "-text":
        return " ".join((node.text_content or "").split())
    if tag in _UNSEEN:
        return ""
    if depth >= _MAX_DEPTH:
        return " ".join((node.text() or "").split())
    parts = [part for child in node.iter(include_text=True) if (part := linear(child, depth + 1))]
    layout = _LAYOUTS.get(tag)
    if layout is not None and len(parts) >= layout[0]:
        return layout[1](parts)
    if tag == "mo" and parts and parts[0] in _SPACED:
        return f" {parts[0]} "
    joined = (" | " if tag == "mtr" else "; " if tag == "mtable" else "").join(parts)
    return joined.strip() if tag == "math" else joined


def _grouped(text: str) -> str:
    text = text.strip()
    return text if text.isalnum() or (text[:1] in "(√" and text.endswith(")")) or len(text) == 1 else f"({text})"


def _fraction(parts: Sequence[str]) -> str:
    return f"{_grouped(parts[0])}/{_grouped(parts[1])}"


def _power(parts: Sequence[str]) -> str:
    return f"{_grouped(parts[0])}^{_grouped(parts[1])}"


def _index(parts: Sequence[str]) -> str:
    return f"{parts[0].strip()}_{_grouped(parts[1])}"


def _both(parts: Sequence[str]) -> str:
    return f"{_index(parts)}^{_grouped(parts[2])}"


_LAYOUTS: Final[dict[str, tuple[int, Callable[[Sequence[str]], str]]]] = {
    "mfrac": (2, _fraction),
    "msup": (2, _power),
    "mover": (2, _power),
    "msub": (2, _index),
    "munder": (2, _index),
    "msubsup": (3, _both),
    "munderover": (3, _both),
    "msqrt": (1, lambda parts: f"√({''.join(parts).strip()})"),
    "mroot": (2, lambda parts: f"√[{parts[1].strip()}]({parts[0].strip()})"),
    "mfenced": (1, lambda parts: f"({', '.join(part.strip() for part in parts)})"),
}
