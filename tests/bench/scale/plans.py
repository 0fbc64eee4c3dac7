"""What a step costs in a large plan, against a small plan of the same shape."""

import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.scale.costs import Cost, Meter
from tests.bench.scale.load import Load
from tests.bench.scale.processes import Deployment, deployed
from tests.support.engine import spec
from troupe.api.orchestrator.v1.task_pb2 import TaskSpec

LARGE: Final = 1_000
SMALL: Final = 10
_ROUNDS: Final = 5


def wide(steps: int) -> TaskSpec:
    """One step, then all others at once, then one that needs them all."""
    middle = [f"s{i}" for i in range(1, steps - 1)]
    return _plan([[], *([["s0"]] * len(middle)), middle])


def deep(steps: int) -> TaskSpec:
    """One step after the other."""
    return _plan([[], *([f"s{i}"] for i in range(steps - 1))])


def mixed(steps: int) -> TaskSpec:
    """Each step needs up to three earlier ones."""
    draw = random.Random(steps)
    return _plan([[f"s{i}" for i in draw.sample(range(step), min(step, draw.randint(0, 3)))] for step in range(steps)])


SHAPES: Final[Mapping[str, Callable[[int], TaskSpec]]] = {"wide": wide, "deep": deep, "random": mixed}


@dataclass(frozen=True)
class Comparison:
    """The cost of a step, the plans run one after the other or all at once."""

    shape: str
    at_once: bool
    small: Cost
    large: Cost


async def compared(folder: Path) -> AsyncIterator[Comparison]:
    """In each round as many steps in small plans as in large ones; medians of the rounds."""
    async with deployed(folder) as deployment:
        for shape, make in SHAPES.items():
            small, large = make(SMALL), make(LARGE)
            for at_once, plans in ((False, 1), (True, 5)):
                small_costs, large_costs = [], []
                await _cost(deployment, small, SMALL, 20, under_way=10)
                for _ in range(_ROUNDS if not at_once else 3):
                    count = plans * LARGE // SMALL
                    small_costs.append(await _cost(deployment, small, SMALL, count, under_way=count if at_once else 1))
                    large_costs.append(await _cost(deployment, large, LARGE, plans, under_way=plans))
                yield Comparison(shape, at_once, Cost.median(small_costs), Cost.median(large_costs))


async def _cost(deployment: Deployment, task: TaskSpec, steps: int, count: int, *, under_way: int) -> Cost:
    """Of a step."""
    meter = Meter(deployment, every=steps * count)
    await Load(task, count, under_way).run(deployment.stub)
    meter.note(steps * count)
    (cost,) = meter.costs
    return cost


def _plan(dependencies: Sequence[Sequence[str]]) -> TaskSpec:
    return spec(*((f"s{i}", "noop", "x", needed) for i, needed in enumerate(dependencies)))
