"""The table, and the same as JSON."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tests.bench.gateway.doors import DIRECT, ENVOY, TROUPE
from tests.bench.gateway.load import Figures
from tests.bench.gateway.rows import ROWS, Row

Rounds = Mapping[str, Sequence[Figures]]
"""By door: what it reached in each round."""

_LABEL: Final = 44
_COLUMN: Final = 12
_KEPT: Final = 0.97


def table(protocol: str, rounds: Rounds) -> str:
    """Medians over the rounds; the ratio says how many times better than Envoy the gateway is, whatever better is."""
    titles = "".join(f"{door:>{_COLUMN}}" for door in (DIRECT, ENVOY, TROUPE))
    lines = [f"{protocol:<{_LABEL}}{titles}{'× Envoy':>{_COLUMN}}"]
    for row in shown(rounds):
        cells = "".join(f"{value(row, rounds, door):>{_COLUMN}}" for door in (DIRECT, ENVOY, TROUPE))
        better = ratio(row, rounds)
        lines.append(f"{row.label:<{_LABEL}}{cells}{'' if better is None else f'{better:.2f}':>{_COLUMN}}")
    return "\n".join([*lines, *_saturated(rounds)])


def shown(rounds: Rounds) -> Sequence[Row]:
    """The rows that were measured."""
    return [row for row in ROWS if row.key in rounds[TROUPE][0]]


def value(row: Row, rounds: Rounds, door: str) -> str:
    """The median, as it is shown; empty where nothing was measured, or where there is no proxy to measure."""
    reached = [figures[row.key] for figures in rounds.get(door, ()) if row.key in figures]
    if not reached or (door == DIRECT and "cpu" in row.key):
        return ""
    return f"{statistics.median(reached) * row.scale:,.{row.decimals}f}"


def ratio(row: Row, rounds: Rounds) -> float | None:
    """The median of the rounds' ratios, above 1 where the gateway does better; None where there is none to be had."""
    if ENVOY not in rounds:
        return None
    pairs = zip(rounds[TROUPE], rounds[ENVOY], strict=True)
    ratios = [ours[row.key] / theirs[row.key] for ours, theirs in pairs if ours[row.key] and theirs[row.key]]
    if not ratios:  # memory that an interpreter held already does not grow
        return None
    return statistics.median(ratios if row.more_is_better else [1 / ratio for ratio in ratios])


def _saturated(rounds: Rounds) -> Iterator[str]:
    """Where paced messages came more slowly than they were asked for: then their latencies say nothing."""
    for door, reached in rounds.items():
        for key in [key for key in reached[0] if key.endswith("_kept")]:
            if (kept := min(figures[key] for figures in reached)) < _KEPT:
                yield f"{door}, {key}: {kept:.0%} of the messages came in time; the machine was too busy for that row"


def as_json(measured: Mapping[str, Rounds]) -> str:
    """All figures of all rounds, and the ratios, by protocol; units are those of the loads, not of the table."""
    return json.dumps(
        {
            protocol: {"rounds": rounds, "ratios": {row.key: ratio(row, rounds) for row in shown(rounds)}}
            for protocol, rounds in measured.items()
        },
        indent=1,
    )
