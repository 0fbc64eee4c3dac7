"""The engine's metrics: what the API and the worker count."""

from typing import Final, Literal

from prometheus_client import Counter, Gauge, Histogram

from troupe.core.telemetry.metrics import Labels

Outcome = Literal["completed", "failed", "retried", "lost", "handed_back", "delegated"]
"""How an attempt ended: `lost` is one whose lease another worker took, `handed_back` one of a draining worker."""

# From an agent that only looks something up to one that writes for a quarter of an hour.
_STEP_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
_WAIT_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300, 1800)
_BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)

PROJECTS: Final = Labels(limit=100)
"""Bounds the label `project`; `PROJECTS.bound(name)` is `other` beyond the first hundred."""
AGENTS: Final = Labels(limit=100)
"""Bounds the label `agent`: plans name agents, and clients write plans."""

STEPS_READY: Final = Gauge(
    "troupe_engine_steps_ready",
    "Messages of steps that wait for a worker: of steps that became ready together there is one.",
    ["agent"],
)
STEPS_LEASED: Final = Gauge("troupe_engine_steps_leased", "Steps that a worker holds.")
STEPS_DELAYED: Final = Gauge(
    "troupe_engine_steps_delayed", "Steps that wait for their next attempt, and deadlines of tasks."
)
TASKS_OPEN: Final = Gauge("troupe_engine_tasks_open", "Tasks that have not ended.", ["project"])
STREAM_LAG: Final = Gauge(
    "troupe_engine_stream_lag", "Entries of the ready streams, which hold the first of what is ready.", ["agent"]
)
WATCHERS: Final = Gauge("troupe_engine_watchers", "Streams of this process that follow a task.")

ATTEMPTS_STARTED: Final = Counter("troupe_engine_attempts_started", "Attempts that this worker has started.", ["agent"])
ATTEMPTS_ENDED: Final = Counter(
    "troupe_engine_attempts_ended", "Attempts of this worker that have ended.", ["agent", "outcome"]
)
RECLAIMED: Final = Counter("troupe_engine_reclaimed", "Steps taken over from an expired lease.")
FENCED: Final = Counter("troupe_engine_fenced", "Reports refused because they were late or second ones.")
TASKS_ENDED: Final = Counter("troupe_engine_tasks_ended", "Tasks that this process has seen to their end.", ["state"])
WATCH_EVENTS: Final = Counter("troupe_engine_watch_events", "Events sent to watchers.")
WATCH_REREADS: Final = Counter(
    "troupe_engine_watch_rereads",
    "Pieces of stored logs that watchers read: at their start, and when they fell behind.",
)
WATCH_BROKEN_OFF: Final = Counter(
    "troupe_engine_watch_broken_off",
    "Watchers that were sent away, since they did not take a large event while others waited to get theirs.",
)
ADMISSION_REFUSED: Final = Counter(
    "troupe_engine_admission_refused", "Submissions refused, by the bound that they met.", ["bound"]
)
TRANSITIONS: Final = Counter("troupe_engine_transitions", "Changes of tasks, by operation.", ["operation"])
WEBHOOKS: Final = Counter("troupe_webhooks", "Deliveries of webhooks, by how they ended.", ["outcome"])

STEP_SECONDS: Final = Histogram(
    "troupe_engine_step_seconds", "From the start of an attempt to its end.", ["agent"], buckets=_STEP_SECONDS
)
QUEUE_WAIT_SECONDS: Final = Histogram(
    "troupe_engine_queue_wait_seconds",
    "From when a step became ready to the start of its attempt.",
    ["agent"],
    buckets=_WAIT_SECONDS,
)
BATCH_SIZE: Final = Histogram(
    "troupe_engine_transition_batch_size", "Changes of tasks that travelled in one script call.", buckets=_BATCH_SIZES
)


class AgentMetrics:
    """The series of one agent, looked up once: `labels()` costs more than the counting."""

    __slots__ = ("_agent", "_ended", "queue_wait", "started", "step_seconds")

    def __init__(self, agent: str) -> None:
        self._agent = AGENTS.bound(agent)
        self.started = ATTEMPTS_STARTED.labels(self._agent)
        self.step_seconds = STEP_SECONDS.labels(self._agent)
        self.queue_wait = QUEUE_WAIT_SECONDS.labels(self._agent)
        self._ended: dict[Outcome, Counter] = {}

    def ended(self, outcome: Outcome) -> Counter:
        """The counter of attempts that ended so."""
        counter = self._ended.get(outcome)
        if counter is None:
            counter = self._ended[outcome] = ATTEMPTS_ENDED.labels(self._agent, outcome)
        return counter


_BY_AGENT: Final[dict[str, AgentMetrics]] = {}


def of_agent(agent: str) -> AgentMetrics:
    """The metrics of an agent."""
    metrics = _BY_AGENT.get(agent)
    if metrics is None:
        metrics = AgentMetrics(agent)
        if len(_BY_AGENT) < 2 * AGENTS.limit:  # names that share `other` must not pile up here
            _BY_AGENT[agent] = metrics
    return metrics
