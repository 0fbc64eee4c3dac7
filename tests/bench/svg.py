"""How the pictures of the benchmarks look."""

from html import escape
from typing import Final

INK, MUTED, RULE = "#1b1f24", "#59636e", "#e3e6ea"
COLOURS: Final = ("#1b1f24", "#0969da", "#bc4c00", "#1a7f37", "#8c959f")


def page(width: float, height: float, title: str, drawn: str, *, left: float) -> str:
    """The SVG. Light background, no scripts, no fonts of its own."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="12">'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
        f"{text(left, 28, title, size=17, weight=600)}{drawn}</svg>\n"
    )


def text(
    x: float, y: float, words: str, *, anchor: str = "start", colour: str = "", weight: int = 400, size: int = 12
) -> str:
    """A line of text; muted unless it is bold or has a colour."""
    fill = colour or (INK if weight > 400 else MUTED)
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" font-weight="{weight}"'
        f' font-size="{size}">{escape(words)}</text>'
    )
