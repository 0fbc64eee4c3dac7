"""The figures of growing numbers of tasks as an SVG: one panel a measure, sizes on a logarithmic axis."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.bench import svg
from tests.bench.scale.growth import Size
from tests.bench.scale.processes import ORCHESTRATOR, REDIS, WORKER

_WIDTH, _HEIGHT = 300, 200
_LEFT, _TOP, _GAP, _BOTTOM = 56, 84, 170, 64
_LABEL_HEIGHT: Final = 15


@dataclass(frozen=True)
class _Panel:
    title: str
    unit: str
    lines: Mapping[str, Sequence[float]]
    """By label; one value for each size."""


def draw(sizes: Sequence[Size]) -> str:
    """The SVG."""
    panels = [
        _Panel("CPU a task", "µs", _cpu(sizes)),
        _Panel("Memory a task, in Redis", "KiB", {"": [size.memory / 1024 for size in sizes]}),
        _Panel("ListTasks, 50 tasks from the middle", "ms", _calls(sizes, "ListTasks, a page in the middle")),
    ]
    width, height = _LEFT + len(panels) * (_WIDTH + _GAP) - _GAP // 2, _TOP + _HEIGHT + _BOTTOM
    counts = [size.tasks for size in sizes]
    drawn = "".join(
        f'<g transform="translate({_LEFT + place * (_WIDTH + _GAP)} {_TOP})">{_panel(panel, counts)}</g>'
        for place, panel in enumerate(panels)
    )
    title = "What a three-step task costs when so many finished ones are kept"
    return svg.page(width, height, title, drawn, left=_LEFT)


def _cpu(sizes: Sequence[Size]) -> Mapping[str, Sequence[float]]:
    lines = {"all": [size.cost.total_cpu_us for size in sizes]}
    roles = (REDIS, WORKER, ORCHESTRATOR)
    by_role = {role: [size.cost.cpu_us[role] for size in sizes] for role in roles}
    return {**lines, **by_role, "all, few tasks kept": [size.small.total_cpu_us for size in sizes]}


def _calls(sizes: Sequence[Size], name: str) -> Mapping[str, Sequence[float]]:
    calls = [size.calls[name] for size in sizes]
    return {"p99": [call.p99 for call in calls], "p50": [call.p50 for call in calls]}


def _panel(panel: _Panel, counts: Sequence[int]) -> str:
    across = _logarithmic(counts)
    step, top = _ticks(max(max(values) for values in panel.lines.values()))

    def down(value: float) -> float:
        return _HEIGHT * (1 - value / top)

    parts = [svg.text(0, -22, panel.title, weight=600, size=14), svg.text(-8, -8, panel.unit, anchor="end")]
    for tick in range(round(top / step) + 1):
        y = down(tick * step)
        parts.append(f'<path d="M0 {y:.1f}H{_WIDTH}" stroke="{svg.MUTED if tick == 0 else svg.RULE}"/>')
        parts.append(svg.text(-8, y + 4, f"{tick * step:g}", anchor="end"))
    for count in counts:
        parts.append(f'<path d="M{across(count):.1f} {_HEIGHT}v5" stroke="{svg.MUTED}"/>')
        parts.append(svg.text(across(count), _HEIGHT + 19, _short(count), anchor="middle"))
    parts.append(svg.text(_WIDTH / 2, _HEIGHT + 42, "tasks kept", anchor="middle"))
    ends = _apart([down(values[-1]) for values in panel.lines.values()])
    for (label, values), colour, end in zip(panel.lines.items(), svg.COLOURS, ends, strict=False):
        points = [(across(count), down(value)) for count, value in zip(counts, values, strict=True)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        parts.append(svg.text(_WIDTH + 8, end + 4, label, colour=colour, weight=600))
    return "".join(parts)


def _logarithmic(counts: Sequence[int]) -> Callable[[int], float]:
    first, last = math.log(counts[0]), math.log(max(counts[-1], counts[0] + 1))
    return lambda count: _WIDTH * (0.04 + 0.92 * (math.log(count) - first) / (last - first))


def _ticks(largest: float) -> tuple[float, float]:
    """A round step, four to eight of which reach above the largest value, and where they end."""
    power = 10.0 ** math.floor(math.log10(largest))
    step = next(power * part for part in (0.1, 0.2, 0.25, 0.5, 1, 2) if largest / (power * part) <= 6)
    return step, step * math.ceil(largest / step)


def _apart(places: Sequence[float]) -> Sequence[float]:
    """Places of labels, moved so that none covers another."""
    moved: dict[int, float] = {}
    above = -math.inf
    for index in sorted(range(len(places)), key=lambda index: places[index]):
        above = moved[index] = max(places[index], above + _LABEL_HEIGHT)
    return [moved[index] for index in range(len(places))]


def _short(count: int) -> str:
    return f"{count / 1000:g}k" if count >= 1000 else str(count)
