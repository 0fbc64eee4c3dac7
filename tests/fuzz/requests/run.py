"""A run: so many odd requests, a few at a time, through doors that chance chooses."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from urllib.parse import quote

import grpc.aio

from tests.fuzz.requests import doors, encodings
from tests.fuzz.requests.deployment import Deployment
from tests.fuzz.requests.doors import Outcome
from tests.fuzz.requests.methods import AGENTS, HEALTH, MEMORY, MODELS, REFLECTION, TASKS, Called
from tests.fuzz.requests.values import Messages, Plausible
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.api.orchestrator.v1.task_pb2 import TaskSpec

HANG_SECONDS: Final = 60.0
MAX_GROWTH_BYTES: Final = 96 << 20
_AT_ONCE: Final = 12
_PARTS: Final = 5
_DEFECTIVE: Final = ("INTERNAL", "UNKNOWN", "DATA_LOSS", "HANG", "DEADLINE_EXCEEDED")
_TRACES: Final = re.compile(r"Traceback|object at 0x|<class ")
# Ended by gRPC itself, which knows no details: a method that is not served, a message or an error beyond its bounds.
_OF_GRPC: Final = ("UNIMPLEMENTED", "RESOURCE_EXHAUSTED", "CANCELLED", doors.CUT)
_FORGED_TOKENS: Final = (
    "WzEsICJ4IiwgIjRmNTNjZGExIl0", "W251bGwsICJ4IiwgIjRmNTNjZGExIl0",
    "Wy05OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTksICIiLCAiNGY1M2NkYTEiXQ",
    "WzllOTk5LCAiIiwgIjRmNTNjZGExIl0", "WzE4NDQ2NzQ0MDczNzA5NTUxNjE1LCAiXHUwMDAwIiwgIjRmNTNjZGExIl0",
    "%%%", "=" * 40, "W" * 512,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    """A request that ended as none may."""

    number: int
    door: str
    outcome: Outcome

    def __str__(self) -> str:
        outcome = self.outcome
        return f"request {self.number}, {self.door}: {outcome.status} {outcome.reason} {outcome.message[:400]!r}"


@dataclass(slots=True)
class Report:
    """What a run came to."""

    requests: int = 0
    elapsed_seconds: float = 0.0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: dict[tuple[str, str, str], Problem] = field(default_factory=dict)
    rss_bytes: list[Mapping[str, int]] = field(default_factory=list)
    """By process, after each part of the run."""
    defects: Sequence[str] = ()

    @property
    def growth_bytes(self) -> Mapping[str, int]:
        """By process, since the first part of the run was done."""
        return {name: self.rss_bytes[-1][name] - rss for name, rss in self.rss_bytes[0].items()}

    @property
    def failed(self) -> bool:
        """Whether anything is wrong."""
        grown = bool(self.rss_bytes) and max(self.growth_bytes.values()) > MAX_GROWTH_BYTES
        return bool(self.problems or self.defects or grown)

    def lines(self) -> list[str]:
        """What is printed."""
        by_door: dict[str, Counter[str]] = {}
        for (door, status), count in self.outcomes.items():
            by_door.setdefault(door, Counter())[status] += count
        rows = [
            f"{door:16} {sum(of.values()):8,}  "
            + ", ".join(f"{status} {count:,}" for status, count in of.most_common())
            for door, of in sorted(by_door.items())
        ]
        memory = [
            f"{name} {' '.join(str(each[name] >> 20) for each in self.rss_bytes)}"
            for name in (self.rss_bytes[0] if self.rss_bytes else ())
        ]
        return [
            *rows,
            f"{self.requests:,} requests in {self.elapsed_seconds:.0f} s",
            f"MiB after each part of the run: {', '.join(memory)}",
            *map(str, self.problems.values()),
            *self.defects[:20],
            "FAILED" if self.failed else "no request found a defect",
        ]


class Run:
    """Sends requests; number and seed make a request, but for the ids of tasks."""

    def __init__(self, deployment: Deployment, seed: str, *, only: str = "") -> None:
        """`only` is what the names of the doors begin with."""
        self._deployment = deployment
        self._seed = seed
        self._doors = [name for name in DOORS if name.startswith(only)]
        self._plausible: Plausible = {}
        self.report = Report()

    async def prepare(self) -> None:
        """Makes tasks of which ids are known: one that ended, one that waits for a person."""
        stub: Any = OrchestratorServiceStub(self._deployment.channels["orchestrator"])
        step = {"step_id": "a", "agent": "retriever", "instruction": "x"}
        plans = [{"steps": [step]}, {"steps": [{**step, "requires_approval": True}]}]
        specs = [TaskSpec(input="x", plan=plan) for plan in plans]  # type: ignore[arg-type] # checked by protobuf
        ids = [(await stub.SubmitTask(pb.SubmitTaskRequest(task=spec))).task.task_id for spec in specs]
        async for _ in stub.WatchTask(pb.WatchTaskRequest(task_id=ids[0])):
            pass
        page = await stub.ListTasks(pb.ListTasksRequest(page_size=1))
        self._plausible = {
            "task_id": [*ids, "01m7ypewytdnae6hkykxn09ezm07"],
            "step_id": ["a", "b"],
            "depends_on": ["a"],
            "agent": ["retriever", "analyzer", "writer", "ghost"],
            "input": ["What is a lease?"],
            "instruction": ["leases"],
            "model": [""],
            "webhook_url": [""],
            "project": ["", "default"],
            "page_size": [0, 1, 1000],
            "after_sequence": [0, 1, 5],
            "page_token": ["", page.next_page_token, *_FORGED_TOKENS],
            "request_id": ["", "r1", "r2"],
            "uri": ["file:///a.md", "b.txt", "c.html"],
            "content": [b"# A\n\nA lease lasts.", b"<p>x", b""],
            "media_type": ["", "text/markdown", "text/plain"],
            "query": ["lease"],
            "service": ["", "troupe.api.memory.v1.MemoryService"],
            "file_containing_symbol": ["troupe.api.memory.v1.MemoryService"],
        }

    async def all(self, count: int, *, seconds: float | None = None) -> None:
        """Sends so many, or as many as there is time for."""
        began = time.monotonic()
        numbers = iter(range(count))

        async def some() -> None:
            for number in numbers:
                if seconds is not None and time.monotonic() - began > seconds:
                    return
                await self.one(number)
                if number and number % (count // _PARTS) == 0:
                    self.report.rss_bytes.append(self._deployment.rss_bytes())

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(some())
        self.report.rss_bytes.append(self._deployment.rss_bytes())
        self.report.defects = self._deployment.defects()
        self.report.elapsed_seconds = time.monotonic() - began

    async def one(self, number: int) -> None:
        """Sends one."""
        random = Random(f"{self._seed}/{number}")
        door = random.choice(self._doors)
        self.report.requests += 1
        described, sending = DOORS[door](self, random)
        try:
            async with asyncio.timeout(HANG_SECONDS):
                outcome = await sending
        except TimeoutError:
            outcome = Outcome("HANG")
        except (AssertionError, EOFError, OSError, ValueError, KeyError) as error:
            outcome = Outcome("UNKNOWN", "", f"no such answer was expected: {error!r}")
        self.report.outcomes[door, outcome.status] += 1
        if is_defect(outcome, described, door):
            problem = Problem(number, f"{door} {described}", outcome)
            self.report.problems.setdefault((described, outcome.status, outcome.message[:40]), problem)

    def messages(self, random: Random) -> Messages:
        """Draws messages."""
        return Messages(random, self._plausible)

    def channel(self, name: str) -> grpc.aio.Channel:
        """To a process."""
        channel: grpc.aio.Channel = self._deployment.channels[name]
        return channel

    @property
    def gateway(self) -> str:
        """Its address."""
        return self._deployment.at["gateway"]

    def text(self, random: Random, name: str) -> str:
        """A value of a field, plausible or not."""
        message = self.messages(random).draw(pb.WatchTaskRequest)
        return str(getattr(message, name))


def is_defect(outcome: Outcome, described: str, door: str) -> bool:
    """Whether no request may end so."""
    if outcome.status in _DEFECTIVE or _TRACES.search(outcome.message):
        return True
    if outcome.status == "UNAVAILABLE":  # all is there, but what is behind the inference service
        return door != "inference"
    unexplained = outcome.status not in ("OK", *_OF_GRPC) and not outcome.reason
    return unexplained and not described.startswith("/grpc.")


_Sent = tuple[str, Awaitable[Outcome]]
_Door = Callable[[Run, Random], _Sent]


def _requests(run: Run, random: Random, called: Called, encode: Any = encodings.protobuf) -> list[bytes]:
    count = random.choice((1, 1, 1, 3)) if called.client_streaming else 1
    return [encode(run.messages(random).draw(called.request), random) for _ in range(count)]


def _direct(process: str, methods: Sequence[Called]) -> _Door:
    def send(run: Run, random: Random) -> _Sent:
        called = random.choice(methods)
        return called.path, doors.over_grpc(run.channel(process), called, *_requests(run, random, called))

    return send


def _grpc_web(run: Run, random: Random) -> _Sent:
    called = random.choice(_FORWARDED)
    return called.path, doors.over_grpc_web(run.gateway, called, *_requests(run, random, called))


def _connect(run: Run, random: Random) -> _Sent:
    called = random.choice(_FORWARDED)
    return called.path, doors.over_connect(run.gateway, called, "proto", *_requests(run, random, called))


def _connect_json(run: Run, random: Random) -> _Sent:
    called = random.choice(_FORWARDED)
    texts = _requests(run, random, called, encodings.json_text)
    return called.path, doors.over_connect(run.gateway, called, "json", *texts)


def _run_task(run: Run, random: Random) -> _Sent:
    task: Any = run.messages(random).draw(TaskSpec)
    fields = {"user_input": task.input, "model": task.model, "labels": dict(task.labels)}
    text = json.dumps(fields).encode()
    body = encodings.broken(text, random) if random.random() < 0.5 else text
    return "/run-task", doors.over_http(run.gateway, "/run-task", body)


def _plain(run: Run, random: Random) -> _Sent:
    kind = random.choice(("metrics", "stream"))
    path = f"/{kind}/{quote(run.text(random, 'task_id')[:1_000], safe='') or '-'}"
    if kind == "stream" and random.random() < 0.5:
        path += f"?after_sequence={quote(run.text(random, 'after_sequence'))}"
    return f"/{kind}", doors.over_http(run.gateway, path)


def _websocket(run: Run, random: Random) -> _Sent:
    kind = random.choice((pb.CancelTaskRequest, pb.ResolveApprovalRequest))
    name = "cancel" if kind is pb.CancelTaskRequest else "resolve_approval"
    text = encodings.json_text(run.messages(random).draw(kind), random).decode(errors="replace")
    order = f'{{"{name}": {text}}}' if random.random() < 0.9 else text
    return "/ws", doors.over_websocket(run.gateway, run.text(random, "task_id")[:100] or "x", order)


_FORWARDED: Final = (*TASKS, *MEMORY, *(method for method in MODELS if method.path.endswith("ListModels")))
DOORS: Final[Mapping[str, _Door]] = {
    "orchestrator": _direct("orchestrator", (*_FORWARDED, *HEALTH, *REFLECTION)),
    "agents": _direct("agents", (*AGENTS, *MEMORY)),
    "inference": _direct("inference", MODELS),
    "gateway grpc": _direct("gateway", (*_FORWARDED, *HEALTH, *REFLECTION)),
    "gateway grpc-web": _grpc_web,
    "gateway connect": _connect,
    "gateway json": _connect_json,
    "run-task": _run_task,
    "plain": _plain,
    "websocket": _websocket,
}
