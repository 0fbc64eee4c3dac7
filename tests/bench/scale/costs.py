"""What work costs: time and CPU from one reading to the next."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.scale.processes import Deployment


@dataclass(frozen=True)
class Cost:
    """Of one unit of work; microseconds."""

    wall_us: float
    cpu_us: Mapping[str, float]

    @property
    def total_cpu_us(self) -> float:
        return sum(self.cpu_us.values())

    @classmethod
    def median(cls, costs: Sequence["Cost"]) -> "Cost":
        """The median of each figure."""
        roles = costs[0].cpu_us
        cpu = {role: statistics.median(cost.cpu_us[role] for cost in costs) for role in roles}
        return cls(statistics.median(cost.wall_us for cost in costs), cpu)


@dataclass
class Meter:
    """Takes a reading every so many units of work."""

    deployment: Deployment
    every: int
    costs: list[Cost] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """What was done before does not count."""
        self._at, self._cpu, self._done = time.perf_counter(), self.deployment.cpu_us(), 0

    def note(self, done: int) -> None:
        """So much work is done by now."""
        units = done - self._done
        if units < self.every:
            return
        now, cpu = time.perf_counter(), self.deployment.cpu_us()
        used = {role: (cpu[role] - before) / units for role, before in self._cpu.items()}
        self.costs.append(Cost((now - self._at) / units * 1e6, used))
        self._at, self._cpu, self._done = now, cpu, done
