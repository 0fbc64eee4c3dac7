"""The table as an SVG: a bar a row, as many times better or worse than Envoy as it is long."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from tests.bench import svg
from tests.bench.gateway import report
from tests.bench.gateway.doors import ENVOY, TROUPE
from tests.bench.gateway.report import Rounds
from tests.bench.gateway.rows import Row

_LEFT, _LABEL, _BARS, _CELL, _TOP, _GAP = 28, 270, 380, 84, 92, 44
_LINE: Final = 20
_BETTER, _WORSE = "#1a7f37", "#bc4c00"
_TICKS: Final = (0.25, 0.5, 1, 2, 4, 8, 16, 32)


def draw(measured: Mapping[str, Rounds]) -> str:
    """The SVG. Both ways from the line at 1 are logarithmic, so that twice and half are equally long."""
    panels = [(protocol, rounds, report.shown(rounds)) for protocol, rounds in measured.items()]
    furthest = [_bounded(report.ratio(row, rounds)) for _, rounds, rows in panels for row in rows]
    low, high = min(0.8, *furthest), max(1.25, *furthest)
    parts, top = [], _TOP
    for protocol, rounds, rows in panels:
        parts.append(f'<g transform="translate({_LEFT} {top})">{_panel(protocol, rounds, rows, low, high)}</g>')
        top += len(rows) * _LINE + _GAP + _LINE
    width = _LEFT + _LABEL + _BARS + 3 * _CELL + _LEFT
    title = "Troupe's gateway beside Envoy's grpc_web filter, one process and one core each"
    return svg.page(width, top - _GAP // 2, title, "".join(parts), left=_LEFT)


def _panel(protocol: str, rounds: Rounds, rows: Sequence[Row], low: float, high: float) -> str:
    def across(ratio: float) -> float:
        return _LABEL + _BARS * math.log(ratio / low) / math.log(high / low)

    height = len(rows) * _LINE
    parts = [svg.text(0, -22, protocol, weight=600, size=14)]
    heads = ((ENVOY, 1), (TROUPE, 2), ("× Envoy", 3))
    parts += [svg.text(_LABEL + _BARS + cell * _CELL, -8, head, anchor="end", weight=600) for head, cell in heads]
    for tick in (tick for tick in _TICKS if low <= tick <= high):
        colour = svg.MUTED if tick == 1 else svg.RULE
        parts.append(f'<path d="M{across(tick):.1f} 0V{height}" stroke="{colour}"/>')
        parts.append(svg.text(across(tick), -8, f"{tick:g}×", anchor="middle"))
    for number, row in enumerate(rows):
        reached = report.ratio(row, rounds)
        ratio = _bounded(reached)
        base = number * _LINE + 14
        start, end = sorted((across(1), across(ratio)))
        colour = _BETTER if ratio >= 1 else _WORSE
        parts.append(svg.text(12 if row.label.startswith("…") else 0, base, row.label))
        parts.append(
            f'<rect x="{start:.1f}" y="{base - 10}" width="{end - start:.1f}" height="12" fill="{colour}" rx="1"/>'
        )
        cells = (report.value(row, rounds, ENVOY), report.value(row, rounds, TROUPE))
        parts += [
            svg.text(_LABEL + _BARS + (place + 1) * _CELL, base, cell, anchor="end") for place, cell in enumerate(cells)
        ]
        shown = "" if reached is None else f"{ratio:.2f}"
        parts.append(svg.text(_LABEL + _BARS + 3 * _CELL, base, shown, anchor="end", colour=colour, weight=600))
    return "".join(parts)


def _bounded(ratio: float | None) -> float:
    return min(max(1 if ratio is None else ratio, _TICKS[0]), _TICKS[-1])
