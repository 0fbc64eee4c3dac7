"""What Redis holds of a deployment: the one place that names its keys, its rows and their fields.

The script's constructors and readers are put together from it (`script.py`), and Python reads with `unpack` and `read`.
docs/storage.md says what each is for and what always holds of it. A row is written by place, since names would be most
of what it takes.

A field is added at the end of its row, with what it is in the rows that were written without it. Readers fill in what a
row lacks and leave alone what it has beyond, so processes of two releases can work on one task.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar, get_type_hints

import msgpack


class TaskRow(NamedTuple):
    """What changes of a task: field `task` of its hash. Times are ms of Redis's clock; 0: not yet, or none."""

    state: int = 0
    running: int = 0
    open: int = 0
    sequence: int = 0
    trimmed: int = 0
    ready: int = 0
    started: int = 0
    ended: int = 0
    deadline: int = 0
    tokens: int = 0
    cost: int = 0
    held_tokens: int = 0
    held_cost: int = 0
    notified: int = 0


class TaskBase(NamedTuple):
    """What does not: field `base`. The script sets `created`."""

    project: str = ""
    priority: int = 0
    created: int = 0
    plan_us: int = 0
    timeout: int = 0
    retention: int = 0
    keep: int = 0
    trace: str = ""
    max_tokens: int = 0
    max_cost: int = 0
    webhook: str = ""
    conversation: str = ""


class StepRow(NamedTuple):
    """What changes of a step: field `<step>:now` of its task's hash."""

    state: int = 0
    attempt: int = 0
    ready: int = 0
    started: int = 0
    ended: int = 0
    left: int = 0
    events: int = 0
    failures: int = 0
    lost: int = 0
    cost_units: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    model_calls: int = 0
    held_tokens: int = 0
    held_cost: int = 0
    decision: str = ""
    delegated: str = ""


class StepBase(NamedTuple):
    """What does not, but for dependants that are delegated: field `<step>:base`."""

    agent: str = ""
    depends_on: str = ""
    dependants: str = ""
    approval: str = ""
    parent: str = ""
    depth: int = 0
    message: bytes = b""


class Recorded(NamedTuple):
    """Reply: a step began or ended. `begun` holds rows of `Begun`, `task_state` is that in which the task ended."""

    status: str = ""
    task_state: int = 0
    more: int = 0
    begun: Sequence[Sequence[Any]] = ()


class Begun(NamedTuple):
    """Reply: an attempt that was begun, and what it needs. Outputs: step and output, one behind the other."""

    task: str = ""
    step: str = ""
    attempt: int = 0
    agent: str = ""
    time_left: int = 0
    tokens: int = 0
    cost: int = 0
    spec: bytes = b""
    message: bytes = b""
    project: str = ""
    failures: int = 0
    waited: int = 0
    trace: str = ""
    depth: int = 0
    dependencies: Sequence[bytes] = ()
    delegated: Sequence[bytes] = ()


class Refused(NamedTuple):
    """Reply: steps may not be added; `value` is beyond the bound."""

    status: str = ""
    bound: str = ""
    value: Any = 0


class Ticked(NamedTuple):
    """Reply: what a look at the clocks set off, and what is there now. `open` is by project, the last two by agent."""

    status: str = ""
    taken_over: int = 0
    retried: int = 0
    timed_out: int = 0
    resent: int = 0
    leased: int = 0
    delayed: int = 0
    open: Sequence[bytes] = ()
    ready: Sequence[int] = ()
    waiting: Sequence[int] = ()


class Notification(NamedTuple):
    """Reply: a notification that the caller holds now."""

    task: str = ""
    url: str = ""
    attempt: int = 0
    name: str = ""


ROWS: Final[Mapping[str, type[NamedTuple]]] = {"T": TaskRow, "B": TaskBase, "S": StepRow, "X": StepBase}
"""Rows that are kept, by what the script calls them."""

REPLIES: Final[Mapping[str, type[NamedTuple]]] = {
    "RECORDED": Recorded,
    "BEGUN": Begun,
    "REFUSED": Refused,
    "TICKED": Ticked,
    "NOTIFICATION": Notification,
}
"""Rows that the script answers with, by what it calls them."""

TASK_FIELDS: Final = ("task", "base", "spec", "plan", "order", "error", "result", "reason", "retried_by", "parked")
"""The fields of a task's hash."""

STEP_FIELDS: Final = ("now", "base", "out", "error")
"""Those of each of its steps, behind `<step>:`."""


class Key(Enum):
    """The keys of a partition, behind its prefix and a colon: the name, and what kind of value Redis has there."""

    TASK = "task:{task}", "hash"
    LOG = "task:{task}:log", "list"
    REQUEST = "request:{project}:{request}", "string"
    INDEX = "index:{owner}", "zset"
    OPEN = "open", "hash"
    EXPIRING = "expiring", "zset"
    READY = "ready:{agent}", "stream"
    WAITING = "waiting", "hash"
    QUEUE = "queue:{agent}:{project}:{priority}", "list"
    TURNS = "turns:{agent}", "zset"
    LEASES = "leases", "zset"
    DUE = "due", "zset"
    WEBHOOKS = "webhooks", "zset"
    LIVE = "live", "stream"
    CONTROL = "control", "stream"
    CLOCK = "clock", "string"
    WATCHED = "watched", "string"
    SPARED = "spared", "string"

    @property
    def template(self) -> str:
        """The name, with what tells several apart in braces."""
        return self.value[0]

    @property
    def kind(self) -> str:
        """What TYPE says of it."""
        return self.value[1]


class DeploymentKey(Enum):
    """The keys of which there is one, whatever the number of partitions."""

    AGENTS = "troupe:agents", "hash"
    PARTITIONS = "troupe:partitions", "string"

    @property
    def key(self) -> str:
        """The key, whole."""
        return self.value[0]


Row = TypeVar("Row", bound=NamedTuple)


def unpack(kind: type[Row], packed: bytes) -> Row:
    """The row of a packed field."""
    return read(kind, msgpack.unpackb(packed, raw=True))


def read(kind: type[Row], values: Sequence[Any]) -> Row:
    """The row of values as they come from Redis, of an earlier or a later release too."""
    found = list(values[: len(kind._fields)])
    for place in _texts(kind):
        if place < len(found):
            found[place] = found[place].decode()
    return kind(*found)


@cache
def _texts(kind: type[NamedTuple]) -> Sequence[int]:
    """The places of texts."""
    return [place for place, type_ in enumerate(get_type_hints(kind).values()) if type_ is str]
