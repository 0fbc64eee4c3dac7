"""Signatures, payloads, settings and the meaning of answers, without any server."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.api.common.v1.content_pb2 import Citation
from troupe.api.common.v1.error_pb2 import Error, ErrorReason
from troupe.api.orchestrator.v1.task_pb2 import Task, TaskOutput, TaskSpec, TaskState
from troupe.core.settings import ServiceSettings, SettingsError
from troupe.core.web.errors import ForbiddenAddressError, UnreachableError
from troupe.orchestrator.domain.retry import RetryPolicy
from troupe.orchestrator.webhooks.lanes import Lanes
from troupe.orchestrator.webhooks.outcome import Rejection, rejection_of_error, rejection_of_response
from troupe.orchestrator.webhooks.payload import MAX_BYTES, has_ended, payload
from troupe.orchestrator.webhooks.settings import WebhookSettings
from troupe.orchestrator.webhooks.signing import InvalidSignatureError, signed_headers, verify

OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW = "whsec_" + base64.b64encode(bytes(range(32))).decode()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = WebhookSettings().policy()


def test_the_signature_is_that_of_the_specification() -> None:
    # The example of the reference libraries: https://github.com/standard-webhooks/standard-webhooks/tree/main/libraries
    headers = signed_headers(
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
        secrets=[OLD],
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_secrets_change_either_of_them_verifies() -> None:
    headers = signed_headers(message_id="m", timestamp=1000, body=b"x", secrets=[OLD, NEW])
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (OLD, NEW):
        verify(headers=headers, body=b"x", secret=secret, now=1000)


@pytest.mark.parametrize(
    ("change", "body", "now"),
    [
        ({}, b"y", 1000),
        ({}, b"x", 1301),
        ({}, b"x", 699),
        ({"webhook-id": "n"}, b"x", 1000),
        ({"webhook-timestamp": "1001"}, b"x", 1000),
        ({"webhook-timestamp": "soon"}, b"x", 1000),
        ({"webhook-signature": ""}, b"x", 1000),
        ({"webhook-signature": "v1,é"}, b"x", 1000),
    ],
)
def test_what_was_changed_or_kept_too_long_does_not_verify(change: dict[str, str], body: bytes, now: float) -> None:
    headers = signed_headers(message_id="m", timestamp=1000, body=b"x", secrets=[NEW])
    with pytest.raises(InvalidSignatureError):
        verify(headers=headers | change, body=body, secret=NEW, now=now)


def test_another_secret_or_no_headers_do_not_verify() -> None:
    headers = signed_headers(message_id="m", timestamp=1000, body=b"x", secrets=[NEW])
    for offered in (headers, {}):
        with pytest.raises(InvalidSignatureError):
            verify(headers=offered, body=b"x", secret=OLD, now=1000)


def test_the_body_of_a_completed_task() -> None:
    task = ended(TaskState.TASK_STATE_COMPLETED, output=TaskOutput(text="Grüße", citations=[Citation(number=1)]))
    assert json.loads(payload(task)) == {
        "type": "task.completed",
        "timestamp": "2026-01-01T00:00:00Z",
        "data": {
            "task_id": "t1",
            "project": "default",
            "state": "TASK_STATE_COMPLETED",
            "last_sequence": "7",
            "labels": {"team": "a"},
            "output": {"text": "Grüße", "citations": [{"number": 1}]},
        },
    }


def test_the_bodies_of_failed_and_cancelled_tasks() -> None:
    error = Error(reason=ErrorReason.ERROR_REASON_BUDGET_EXCEEDED, message="spent")
    failed = json.loads(payload(ended(TaskState.TASK_STATE_FAILED, error=error)))
    assert failed["type"] == "task.failed"
    assert failed["data"]["error"] == {"reason": "ERROR_REASON_BUDGET_EXCEEDED", "message": "spent"}
    assert json.loads(payload(ended(TaskState.TASK_STATE_CANCELLED)))["type"] == "task.cancelled"
    assert not has_ended(Task(state=TaskState.TASK_STATE_RUNNING))


def test_a_long_output_is_left_out_and_said() -> None:
    output = TaskOutput(text="x" * MAX_BYTES, media_type="text/plain", citations=[Citation(number=1)])
    body = payload(ended(TaskState.TASK_STATE_COMPLETED, output=output))
    data = json.loads(body)["data"]
    assert len(body) <= MAX_BYTES
    assert data["output"] == {"media_type": "text/plain", "citations": [{"number": 1}]}
    assert data["output_truncated"] is True


def test_no_task_makes_a_body_too_long() -> None:
    output = TaskOutput(text="x" * MAX_BYTES, citations=[Citation(quote="\x01" * 1000)] * 300)
    error = Error(message="\x01" * MAX_BYTES, metadata={"x": "y" * MAX_BYTES})
    task = ended(TaskState.TASK_STATE_FAILED, output=output, error=error)
    task.spec.labels.update({f"{i:0>128}": "\x01" * 1024 for i in range(64)})
    body = payload(task)
    data = json.loads(body)["data"]
    assert len(body) <= MAX_BYTES
    assert (data["task_id"], data["state"]) == ("t1", "TASK_STATE_FAILED")
    assert data["output_truncated"] is data["error_truncated"] is data["labels_truncated"] is True


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_answers_that_deliver(status: int) -> None:
    assert rejection_of_response(status, {}, now=NOW) is None


@pytest.mark.parametrize("status", [100, 301, 307, 400, 401, 404, 429, 500, 503])
def test_answers_that_are_tried_again(status: int) -> None:
    rejection = rejection_of_response(status, {}, now=NOW)
    assert rejection is not None
    assert rejection.retry_ms(POLICY, attempt=1, draw=0.5) == 500
    assert rejection.retry_ms(POLICY, attempt=8, draw=0.5) is None


def test_answers_and_errors_that_are_final() -> None:
    gone = rejection_of_response(410, {}, now=NOW)
    for rejection in (gone, rejection_of_error(ForbiddenAddressError("no"))):
        assert rejection is not None
        assert rejection.retry_ms(POLICY, attempt=1, draw=0.5) is None
    assert rejection_of_error(UnreachableError("no")).retry_ms(POLICY, attempt=1, draw=0.5) == 500


@pytest.mark.parametrize(
    ("value", "expected_ms"),
    [
        ("120", 120_000),
        ("99999999999999999999", 3_600_000),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60_000),
        ("Wed, 31 Dec 2025 23:00:00 GMT", 0),
        ("soon", 0),
        ("-5", 0),
        ("", 0),
    ],
)
def test_a_receiver_that_asks_for_time_gets_it_up_to_the_longest_backoff(value: str, expected_ms: int) -> None:
    rejection = rejection_of_response(503, {"retry-after": value}, now=NOW)
    assert rejection is not None
    assert rejection.retry_ms(POLICY, attempt=1, draw=0.0) == expected_ms


@given(st.text(max_size=60))
def test_no_retry_after_is_more_than_ignored(value: str) -> None:
    assert isinstance(rejection_of_response(503, {"retry-after": value}, now=NOW), Rejection)


def test_a_host_has_its_places_and_the_rest_is_spread_out() -> None:
    lanes = Lanes(places=2)
    assert [lanes.enter("slow", now=0) for _ in range(2)] == [None, None]
    assert lanes.enter("other", now=0) is None
    waits = [lanes.enter("slow", now=0) for _ in range(1000)]
    assert all(wait is not None and 0 < wait <= 30 for wait in waits)
    assert waits == sorted(waits, key=lambda wait: wait or 0)
    lanes.leave("slow", took_seconds=10)
    assert lanes.enter("slow", now=10) is None


def test_an_idle_host_is_forgotten() -> None:
    lanes = Lanes(places=1)
    lanes.enter("a", now=0)
    lanes.leave("a", took_seconds=1)
    assert not lanes._lanes


class Nested(ServiceSettings):
    section = "nested"
    webhooks: WebhookSettings = WebhookSettings()


def test_settings_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Nested.load().webhooks.enabled
    monkeypatch.setenv("TROUPE_NESTED__WEBHOOKS__SECRETS", json.dumps([NEW, OLD]))
    monkeypatch.setenv("TROUPE_NESTED__WEBHOOKS__ALLOWED_NETWORKS", '["10.0.0.0/8", "fd00::/8"]')
    settings = Nested.load().webhooks
    assert settings.enabled
    assert [secret.get_secret_value() for secret in settings.secrets] == [NEW, OLD]
    assert len(settings.rules().allowed_networks) == 2
    assert settings.policy() == RetryPolicy(8, 1000, 3_600_000, 4)
    assert NEW not in repr(settings)


@pytest.mark.parametrize("secret", ["geheim", "whsec_geheim!", "whsec_Z2VoZWlt", NEW.removeprefix("whsec_")])
def test_a_wrong_secret_is_refused_and_not_repeated(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_NESTED__WEBHOOKS__SECRETS", json.dumps([secret]))
    with pytest.raises(SettingsError, match="whsec_") as caught:
        Nested.load()
    assert secret not in str(caught.value)


def ended(state: "TaskState.ValueType", *, output: TaskOutput | None = None, error: Error | None = None) -> Task:
    spec = TaskSpec(input="private", labels={"team": "a"}, webhook_url="https://example.org/")
    task = Task(task_id="t1", project="default", state=state, spec=spec, last_sequence=7, output=output, error=error)
    task.end_time.FromDatetime(NOW)
    return task
