"""Random tasks, the same for the same seed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Final, Literal

from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2

from troupe.api.common.v1.step_pb2 import RetryPolicy, Step
from troupe.api.orchestrator.v1.task_pb2 import Budget, Plan, Priority, TaskSpec

Door = Literal["client", "run", "stub", "web"]

_AGENTS: Final = {"noop": 4, "sleeper": 3, "counter": 4, "flaky": 2, "refusing": 1, "spender": 2, "delegator": 1}
_DEPTH: Final = 2
_BACKOFF: Final = Duration(nanos=50_000_000)
_DOORS: Final[tuple[Door, ...]] = ("client", "stub", "web")


@dataclass(frozen=True)
class Job:
    """A task and what is done to it."""

    number: int
    spec: TaskSpec
    request_id: str
    doors: tuple[Door, ...]
    submitted_twice: bool
    cancel_after_seconds: float | None
    cancel_after_step: bool
    rejects: float
    """The share of approvals that are refused."""
    retries: int
    """How often the task is taken up again when it fails."""


def random_job(rng: Random, number: int) -> Job:
    """Any task; a few are cancelled, run out of time or spend their budget."""
    spec = TaskSpec(input=f"task {number}", plan=_wide_plan(rng) if rng.random() < 0.04 else _plan(rng))
    spec.priority = rng.choice(Priority.values())
    if rng.random() < 0.03:
        spec.timeout.FromMilliseconds(rng.randint(500, 3000))
    if rng.random() < 0.1:
        spec.budget.CopyFrom(_budget(rng))
    first: Door = "run" if rng.random() < 0.15 else rng.choice(_DOORS)
    second: tuple[Door, ...] = (rng.choice(_DOORS),) if rng.random() < 0.5 else ()
    return Job(
        number=number,
        spec=spec,
        request_id=f"chaos-{rng.getrandbits(64):x}-{number}",
        doors=(first, *second),
        submitted_twice=rng.random() < 0.2,
        cancel_after_seconds=rng.uniform(0, 3) if rng.random() < 0.08 else None,
        cancel_after_step=rng.random() < 0.5,
        rejects=rng.choice([0, 0, 0.3]),
        retries=rng.choice([0, 1, 2]),
    )


def calm_job(rng: Random, number: int) -> Job:
    """A task that nothing is done to: it must complete."""
    job = random_job(rng, number)
    spec = TaskSpec(input=job.spec.input, plan=job.spec.plan, priority=job.spec.priority)
    for step in spec.plan.steps:
        _calm(step)
    return Job(
        number=number,
        spec=spec,
        request_id=job.request_id,
        doors=job.doors,
        submitted_twice=job.submitted_twice,
        cancel_after_seconds=None,
        cancel_after_step=False,
        rejects=0,
        retries=0,
    )


def delegated_steps(instruction: Mapping[str, str]) -> Sequence[Step]:
    """What a delegating step delegates: the same for every attempt."""
    rng, depth = Random(int(instruction["seed"])), int(instruction["depth"])
    steps: list[Step] = []
    for place in range(rng.randint(1, 5)):
        known = [step.step_id for step in steps]
        dependencies = rng.sample(known, rng.randint(0, min(2, len(known))))
        step = _step(rng, f"d{place}", dependencies, depth=depth - 1)
        if "calm" in instruction:
            _calm(step)
        steps.append(step)
    rng.shuffle(steps)
    return steps


def _calm(step: Step) -> None:
    """Lets a step succeed, soon."""
    step.instruction = _brief(step.instruction.replace("until=99", "until=2")) + " calm=1"
    step.retry_policy.CopyFrom(_lasting())
    if step.agent == "refusing":
        step.retry_policy.retryable_codes.extend([code_pb2.FAILED_PRECONDITION, code_pb2.UNAVAILABLE])


def _budget(rng: Random) -> Budget:
    if rng.random() < 0.5:
        return Budget(max_tokens=rng.randint(50, 600))
    return Budget(max_tokens=rng.randint(1000, 5000), max_cost_usd_micros=rng.randint(500, 8000))


def _wide_plan(rng: Random) -> Plan:
    """Many short steps between two: more than the window of an agent's messages takes."""
    agent = rng.choice(["noop", "counter"])
    first, last = _step(rng, "first", []), _step(rng, "last", [])
    middle = [_step(rng, f"m{place:02}", ["first"], agent=agent) for place in range(rng.randint(30, 70))]
    for step in middle:
        step.instruction = "seconds=0.020 numbers=3 until=2 seed=1 depth=0"
        last.depends_on.append(step.step_id)
    return Plan(steps=[first, *middle, last])


def _plan(rng: Random) -> Plan:
    steps: list[Step] = []
    for place in range(rng.randint(1, 12)):
        known = [step.step_id for step in steps]
        dependencies = rng.sample(known, rng.randint(0, min(3, len(known)))) if rng.random() < 0.8 else []
        steps.append(_step(rng, f"s{place:02}", dependencies))
    rng.shuffle(steps)
    return Plan(steps=steps)


def _step(rng: Random, step_id: str, dependencies: list[str], *, depth: int = _DEPTH, agent: str = "") -> Step:
    agent = agent or rng.choices(list(_AGENTS), weights=list(_AGENTS.values()))[0]
    if agent == "delegator" and not depth:
        agent = "noop"
    step = Step(step_id=step_id, agent=agent, instruction=_instruction(rng, depth), depends_on=dependencies)
    step.requires_approval = rng.random() < 0.04
    step.retry_policy.CopyFrom(_policy(rng))
    if "until=99" in step.instruction:
        step.retry_policy.max_attempts = min(step.retry_policy.max_attempts, 6)
    if agent == "refusing" and rng.random() < 0.9:
        step.retry_policy.retryable_codes.extend([code_pb2.FAILED_PRECONDITION, code_pb2.UNAVAILABLE])
    return step


def _instruction(rng: Random, depth: int) -> str:
    long = rng.random() < 0.1
    seconds = rng.uniform(1.5, 3) if long else rng.uniform(0.01, 0.8)
    # Pieces of more than 8 KiB do not travel with the live events: watchers read them from the log.
    numbers = 8000 if rng.random() < 0.1 else rng.randint(2, 80)
    until = rng.randint(2, 4)
    if rng.random() < 0.03:  # never; soon
        seconds, until = 0.02, 99
    return f"seconds={seconds:.3f} numbers={numbers} until={until} seed={rng.getrandbits(32)} depth={depth}"


def _brief(instruction: str) -> str:
    """The same in at most half a second."""
    return re.sub(r"seconds=(\S+)", lambda found: f"seconds={min(0.5, float(found[1])):.3f}", instruction)


def _policy(rng: Random) -> RetryPolicy:
    if rng.random() < 0.05:
        return RetryPolicy(max_attempts=rng.randint(1, 3), initial_backoff=_BACKOFF, max_backoff=_BACKOFF)
    policy = _lasting()
    policy.backoff_multiplier = rng.choice([1, 1.5, 2])
    return policy


def _lasting() -> RetryPolicy:
    policy = RetryPolicy(max_attempts=20)
    policy.initial_backoff.CopyFrom(_BACKOFF)
    policy.max_backoff.FromTimedelta(timedelta(seconds=1))
    return policy
