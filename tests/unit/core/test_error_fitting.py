"""Errors fit into the trailers that every client takes, and keep what clients act on."""

from collections.abc import Mapping
from datetime import timedelta

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from tests.support.wild_errors import wild_error
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1 import task_pb2
from troupe.core.error_fitting import MAX_STATUS_BYTES, MAX_VIOLATIONS, cut, encoded_bytes
from troupe.core.errors import FieldViolation, TroupeError
from troupe.core.validation import check_rules


def details(status: status_pb2.Status) -> Mapping[str, bytes]:
    return {detail.type_url.rpartition(".")[2]: detail.value for detail in status.details}


def info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo.FromString(details(status)["ErrorInfo"])


def violations(status: status_pb2.Status) -> list[error_details_pb2.BadRequest.FieldViolation]:
    return list(error_details_pb2.BadRequest.FromString(details(status)["BadRequest"]).field_violations)


def test_wild_errors_fit_and_keep_what_clients_act_on() -> None:
    for seed in range(1000):
        error = wild_error(seed)
        status = error.to_status()
        assert encoded_bytes(status) <= MAX_STATUS_BYTES, seed
        assert status.code == error.code.value[0], seed
        assert error.code is not grpc.StatusCode.OK, seed
        assert info(status).reason == error.reason_name, seed
        assert info(status).metadata["retryable"] == ("true" if error.retryable else "false"), seed
        assert ("RetryInfo" in details(status)) == (error.retry_delay is not None), seed
        whole = error.message in (status.message, "") and len(error.violations) <= MAX_VIOLATIONS
        assert whole or "shortened" in info(status).metadata, seed
        rpc_status.to_status(status)
        assert TroupeError.from_proto(error.to_proto()).message == error.message, seed


def test_what_fits_stays_as_it_is() -> None:
    error = TroupeError(
        ErrorReason.ERROR_REASON_INVALID_REQUEST,
        "é" * 100,
        violations=[FieldViolation(f"field[{n}]", "is wrong") for n in range(MAX_VIOLATIONS)],
        metadata={"key": "value"},
        retry_delay=timedelta(seconds=3),
    )
    status = error.to_status()
    assert status.message == error.message
    assert len(violations(status)) == MAX_VIOLATIONS
    assert dict(info(status).metadata) == {"key": "value", "retryable": "false"}


def test_the_first_violations_are_listed_and_all_are_counted() -> None:
    steps = [Step(step_id="", agent="", depends_on=["", ""]) for _ in range(100)]
    with pytest.raises(TroupeError) as caught:
        check_rules(pb.PlanTaskRequest(task=task_pb2.TaskSpec(input="x", plan=task_pb2.Plan(steps=steps))))
    count = len(caught.value.violations)
    assert count >= 100
    assert f"; and {count - MAX_VIOLATIONS} more" in caught.value.message
    status = caught.value.to_status()
    assert len(violations(status)) == MAX_VIOLATIONS
    assert violations(status)[0].field == caught.value.violations[0].field
    assert info(status).metadata["violations"] == str(count)


def test_a_long_message_keeps_its_beginning_and_its_end() -> None:
    message = f"`task.webhook_url` {'x' * 30_000!r} is refused; send one that can be reached"
    status = TroupeError(ErrorReason.ERROR_REASON_INVALID_REQUEST, message).to_status()
    assert status.message.startswith("`task.webhook_url` 'xxx")
    assert "shortened" in status.message
    assert status.message.endswith("xxx' is refused; send one that can be reached")


def test_an_error_that_was_shortened_before_keeps_the_count() -> None:
    many = [FieldViolation("f" * 300, "d" * 300) for _ in range(77)]
    status = TroupeError(ErrorReason.ERROR_REASON_INVALID_PLAN, "m", violations=many).to_status()
    again = TroupeError(
        ErrorReason.ERROR_REASON_INVALID_PLAN,
        status.message,
        violations=[FieldViolation(each.field, each.description) for each in violations(status)],
        metadata=dict(info(status).metadata),
    ).to_status()
    assert info(again).metadata["violations"] == "77"


@pytest.mark.parametrize("text", ["é" * 100, "\U0001f600" * 50, "a" * 1000, "\u20acb" * 99])
@pytest.mark.parametrize("size", [40, 41, 42, 43])
def test_texts_are_cut_between_characters(text: str, size: int) -> None:
    short = cut(text, size)
    assert len(short.encode()) <= size
    assert short.startswith(text[:3])
    assert short.endswith(text[-1])


def test_a_code_that_is_no_error_becomes_that_of_the_reason() -> None:
    error = TroupeError(ErrorReason.ERROR_REASON_AGENT_FAILED, "x", code=grpc.StatusCode.OK)
    assert error.code is grpc.StatusCode.INTERNAL
