"""What the samples say: does it grow?"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_MIB: Final = 1 << 20
_SEGMENTS: Final = 20
_ALLOWED_GROWTH_BYTES: Final = 4 * _MIB
_ALLOWED_FILES: Final = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """The gateway at a moment."""

    at_seconds: float
    rss_bytes: int
    files: int
    connections: int
    open_calls: int


@dataclass(frozen=True, slots=True)
class End:
    """The gateway when its clients had gone."""

    files_before: int
    files_after: int
    connections_after: int
    stop_seconds: float
    """From SIGTERM to the exit: open calls would hold it up until the grace has passed."""


def verdict(samples: Sequence[Sample], end: End, *, grace_seconds: float) -> tuple[list[str], list[str]]:
    """Lines to print, and what is wrong."""
    lines, problems = _memory(samples)
    third = len(samples) // 3
    before = max(sample.files for sample in samples[third : 2 * third])
    after = max(sample.files for sample in samples[2 * third :])
    lines.append(f"open files at most: {before} in the second third, {after} in the last")
    if after > before + max(_ALLOWED_FILES, before // 10):
        problems.append("open files grow")
    lines.append(
        f"without clients: {end.files_after} open files ({end.files_before} before), {end.connections_after} "
        f"connections; stopped within {end.stop_seconds:.1f} s of SIGTERM (grace {grace_seconds:.0f} s)"
    )
    if end.files_after > end.files_before + _ALLOWED_FILES or end.connections_after:
        problems.append("connections are left over")
    if end.stop_seconds > grace_seconds / 2:
        problems.append("calls are left over")
    return lines, problems


def _memory(samples: Sequence[Sample]) -> tuple[list[str], list[str]]:
    third = len(samples) // 3
    second = statistics.mean(sample.rss_bytes for sample in samples[third : 2 * third])
    last = statistics.mean(sample.rss_bytes for sample in samples[2 * third :])
    slope, error = slope_per_second(samples[third:])
    seconds = samples[-1].at_seconds - samples[third].at_seconds
    lines = [
        f"RSS on average: {second / _MIB:.1f} MiB in the second third, {last / _MIB:.1f} MiB in the last "
        f"({(last - second) / _MIB:+.2f})",
        f"slope over both: {slope * 3600 / _MIB:+.2f} ± {2 * error * 3600 / _MIB:.2f} MiB an hour",
    ]
    grows = (slope - 2 * error) * seconds > _ALLOWED_GROWTH_BYTES / 2 and last - second > _ALLOWED_GROWTH_BYTES / 2
    return lines, ["memory grows"] if grows or last - second > _ALLOWED_GROWTH_BYTES + second * 0.05 else []


def slope_per_second(samples: Sequence[Sample]) -> tuple[float, float]:
    """Least squares over the means of segments, since neighbouring samples tell the same; with its standard error."""
    size = max(1, len(samples) // _SEGMENTS)
    parts = [samples[i : i + size] for i in range(0, len(samples) - size + 1, size)]
    xs = [statistics.mean(sample.at_seconds for sample in part) for part in parts]
    ys = [statistics.mean(sample.rss_bytes for sample in part) for part in parts]
    if len(parts) < 3:
        return 0.0, float("inf")
    fit = statistics.linear_regression(xs, ys)
    residuals = sum((y - fit.intercept - fit.slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    spread = sum((x - statistics.mean(xs)) ** 2 for x in xs)
    return fit.slope, (residuals / (len(parts) - 2) / spread) ** 0.5
