"""The one door to terminals for what is drawn: rich's console, which lets no text through that is not safe."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from troupe.core.terminal_text import terminal_text


class SafeConsole(Console):
    """Takes text as it is: no markup, no emoji codes, no links, and nothing that a terminal would act upon."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Text before it is laid out, so that what is longer then still fits; all else after."""
        if isinstance(renderable, str):
            renderable = Text(terminal_text(renderable))
        elif isinstance(renderable, Text):
            renderable = self._safe(renderable)
        for segment in super().render(renderable, options):
            yield segment if segment.control else _safe_segment(segment)

    def _safe(self, text: Text) -> Text:
        if terminal_text(text.plain) == text.plain:
            return text
        parts = ((terminal_text(part.text), part.style or "") for part in text.render(self))
        return Text.assemble(
            *parts, justify=text.justify, overflow=text.overflow, no_wrap=text.no_wrap, end=text.end, style=text.style
        )


def _safe_segment(segment: Segment) -> Segment:
    style = segment.style.update_link(None) if segment.style is not None and segment.style.link else segment.style
    return Segment(terminal_text(segment.text), style)
