"""The table of errors and their way over the wire."""

from datetime import timedelta

import grpc
import pytest
from google.rpc import error_details_pb2

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import RULES, FieldViolation, TroupeError, invalid


def test_every_reason_has_a_rule() -> None:
    assert set(RULES) == {number for number in ErrorReason.values() if number}


@pytest.mark.parametrize("reason", [number for number in ErrorReason.values() if number])
def test_every_error_carries_its_reason(reason: "ErrorReason.ValueType") -> None:
    status = TroupeError(reason, "what happened").to_status()
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason) == ("troupe", ErrorReason.Name(reason).removeprefix("ERROR_REASON_"))
    assert status.code == RULES[reason].code.value[0]


def test_fields_delays_and_quotas_are_details_of_their_own() -> None:
    error = TroupeError(
        ErrorReason.ERROR_REASON_QUOTA_EXCEEDED,
        "too many tasks",
        violations=[FieldViolation("task", "is one too many")],
        retry_delay=timedelta(seconds=2),
        metadata={"subject": "project:default"},
    )
    names = [detail.type_url.rpartition(".")[2] for detail in error.to_status().details]
    assert names == ["ErrorInfo", "BadRequest", "RetryInfo", "QuotaFailure"]


def test_an_invalid_field_is_named_in_message_and_details() -> None:
    error = invalid("task.input", "must not be empty")
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.message == "`task.input` must not be empty"
    assert error.violations == [FieldViolation("task.input", "must not be empty")]


def test_the_stored_form_says_whether_it_may_be_retried() -> None:
    assert TroupeError(ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE, "x").to_proto().retryable
    assert not TroupeError(ErrorReason.ERROR_REASON_MODEL_REFUSED, "x").to_proto().retryable
