"""The engine's metrics as Prometheus gets them."""

import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from troupe.core.telemetry.metrics import OTHER, Labels
from troupe.orchestrator import metrics

NAMES = {
    "troupe_engine_steps_ready": {"agent"},
    "troupe_engine_steps_leased": set(),
    "troupe_engine_steps_delayed": set(),
    "troupe_engine_tasks_open": {"project"},
    "troupe_engine_stream_lag": {"agent"},
    "troupe_engine_watchers": set(),
    "troupe_engine_attempts_started_total": {"agent"},
    "troupe_engine_attempts_ended_total": {"agent", "outcome"},
    "troupe_engine_reclaimed_total": set(),
    "troupe_engine_fenced_total": set(),
    "troupe_engine_tasks_ended_total": {"state"},
    "troupe_engine_watch_events_total": set(),
    "troupe_engine_watch_rereads_total": set(),
    "troupe_engine_watch_broken_off_total": set(),
    "troupe_engine_admission_refused_total": {"bound"},
    "troupe_engine_transitions_total": {"operation"},
    "troupe_webhooks_total": {"outcome"},
    "troupe_engine_step_seconds_count": {"agent"},
    "troupe_engine_queue_wait_seconds_count": {"agent"},
    "troupe_engine_transition_batch_size_count": set(),
}


def test_every_metric_has_the_name_and_labels_that_dashboards_ask_for() -> None:
    agent = metrics.of_agent("writer")
    agent.started.inc()
    agent.ended("completed").inc()
    agent.step_seconds.observe(0.1)
    agent.queue_wait.observe(0.1)
    for gauge in (metrics.STEPS_READY, metrics.STREAM_LAG):
        gauge.labels("writer").set(1)
    metrics.TASKS_OPEN.labels(metrics.PROJECTS.bound("p")).set(1)
    for counter in (metrics.TASKS_ENDED, metrics.ADMISSION_REFUSED, metrics.TRANSITIONS, metrics.WEBHOOKS):
        counter.labels("x").inc()
    families = list(text_string_to_metric_families(generate_latest(REGISTRY).decode()))
    ours = [family for family in families if family.name.startswith(("troupe_engine", "troupe_webhooks"))]
    assert all(family.documentation for family in ours)
    found = {sample.name: set(sample.labels) for family in ours for sample in family.samples}
    assert {name: found.get(name) for name in NAMES} == NAMES


@pytest.mark.parametrize("limit", [0, 1, 100])
def test_a_label_has_at_most_so_many_values_and_one_for_the_rest(limit: int) -> None:
    labels = Labels(limit=limit)
    values = [labels.bound(f"project-{number}") for number in range(2 * limit + 1)]
    assert values[:limit] == [f"project-{number}" for number in range(limit)]
    assert set(values[limit:]) == {OTHER}
    assert [labels.bound(value) for value in values[:limit]] == values[:limit]


def test_names_that_clients_invent_share_one_series() -> None:
    for number in range(1_000):
        metrics.of_agent(f"invented-{number}").started.inc()
    (family,) = metrics.ATTEMPTS_STARTED.collect()
    samples = family.samples
    assert len(samples) <= metrics.AGENTS.limit + 1
    (other,) = (sample for sample in samples if sample.labels["agent"] == OTHER)
    assert other.value >= 900
