"""The table of errors and their way over the wire."""

from collections.abc import Mapping
from datetime import timedelta

import grpc
import grpc.aio
import pytest
from google.protobuf import duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from troupe.api.common.v1.error_pb2 import Error, ErrorReason
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


class Ended(grpc.aio.AioRpcError):
    """A call that ended with a status, as its client sees it."""

    def __init__(self, code: grpc.StatusCode, message: str = "words", *details: Message, raw: bytes = b"") -> None:
        status = status_pb2.Status(code=code.value[0], message=message)
        for detail in details:
            status.details.add().Pack(detail)
        trailers = grpc.aio.Metadata()
        if details or raw:
            trailers.add("grpc-status-details-bin", raw or status.SerializeToString())
        super().__init__(code, grpc.aio.Metadata(), trailers, details=message)


_FAILED = ErrorReason.ERROR_REASON_AGENT_FAILED
_UNAVAILABLE = ErrorReason.ERROR_REASON_AGENT_UNAVAILABLE
# Code, the reason that it means of an agent, whether it is tried again.
FOREIGN: Mapping[grpc.StatusCode, tuple[str, bool]] = {
    grpc.StatusCode.OK: ("AGENT_FAILED", True),
    grpc.StatusCode.CANCELLED: ("CANCELLED", False),
    grpc.StatusCode.UNKNOWN: ("AGENT_FAILED", True),
    grpc.StatusCode.INVALID_ARGUMENT: ("INVALID_REQUEST", False),
    grpc.StatusCode.DEADLINE_EXCEEDED: ("DEADLINE_EXCEEDED", True),
    grpc.StatusCode.NOT_FOUND: ("AGENT_FAILED", False),
    grpc.StatusCode.ALREADY_EXISTS: ("AGENT_FAILED", False),
    grpc.StatusCode.PERMISSION_DENIED: ("AGENT_FAILED", False),
    grpc.StatusCode.UNAUTHENTICATED: ("AGENT_FAILED", False),
    grpc.StatusCode.RESOURCE_EXHAUSTED: ("QUOTA_EXCEEDED", True),
    grpc.StatusCode.FAILED_PRECONDITION: ("AGENT_FAILED", False),
    grpc.StatusCode.ABORTED: ("AGENT_FAILED", True),
    grpc.StatusCode.OUT_OF_RANGE: ("AGENT_FAILED", False),
    grpc.StatusCode.UNIMPLEMENTED: ("NOT_IMPLEMENTED", False),
    grpc.StatusCode.INTERNAL: ("AGENT_FAILED", True),
    grpc.StatusCode.UNAVAILABLE: ("AGENT_UNAVAILABLE", True),
    grpc.StatusCode.DATA_LOSS: ("AGENT_FAILED", False),
}


def _from(ended: Ended) -> TroupeError:
    return TroupeError.from_rpc(ended, unavailable=_UNAVAILABLE, failed=_FAILED)


def _wait(seconds: float) -> error_details_pb2.RetryInfo:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromTimedelta(timedelta(seconds=seconds))
    return info


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_every_code_of_a_server_that_knows_nothing_of_us_has_a_meaning(code: grpc.StatusCode) -> None:
    reason, retryable = FOREIGN[code]
    error = _from(Ended(code))
    assert (error.reason_name, error.retryable) == (reason, retryable)
    assert error.code is code or code in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.OK)
    proto = TroupeError.from_proto(Error(code=code.value[0]), unavailable=_UNAVAILABLE, failed=_FAILED)
    assert (proto.reason_name, proto.retryable) == (reason, retryable)
    assert proto.code is not grpc.StatusCode.OK


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_a_delay_alone_asks_to_come_back(code: grpc.StatusCode) -> None:
    error = _from(Ended(code, "words", _wait(2.5)))
    assert (error.retryable, error.retry_delay) == (True, timedelta(seconds=2.5))
    proto = Error(code=code.value[0])
    proto.retry_delay.FromTimedelta(timedelta(seconds=2.5))
    for reason in (ErrorReason.ERROR_REASON_UNSPECIFIED, ErrorReason.ERROR_REASON_QUOTA_EXCEEDED):
        proto.reason = reason
        told = TroupeError.from_proto(proto)
        assert (told.retryable, told.retry_delay) == (True, timedelta(seconds=2.5))


@pytest.mark.parametrize("stated", ["", "yes", "TRUE", "1"])
@pytest.mark.parametrize("reason", list(RULES))
def test_what_metadata_leave_open_is_as_the_reason_has_it(reason: "ErrorReason.ValueType", stated: str) -> None:
    name = ErrorReason.Name(reason).removeprefix("ERROR_REASON_")
    info = error_details_pb2.ErrorInfo(reason=name, domain="troupe", metadata={"retryable": stated} if stated else {})
    error = _from(Ended(RULES[reason].code, "words", info))
    assert (error.reason, error.retryable) == (reason, RULES[reason].retryable)
    assert _from(Ended(RULES[reason].code, "words", info, _wait(1))).retryable


def test_what_metadata_say_goes_before_all_else() -> None:
    for stated, retryable in (("true", True), ("false", False)):
        info = error_details_pb2.ErrorInfo(
            reason="QUOTA_EXCEEDED", domain="troupe", metadata={"retryable": stated, "subject": "x"}
        )
        error = _from(Ended(grpc.StatusCode.RESOURCE_EXHAUSTED, "words", info, _wait(1)))
        assert (error.retryable, error.metadata["subject"]) == (retryable, "x")


@pytest.mark.parametrize("reason", ["NO_SUCH", "", "UNSPECIFIED"])
def test_a_reason_that_is_not_known_leaves_the_code(reason: str) -> None:
    info = error_details_pb2.ErrorInfo(reason=reason, domain="troupe")
    assert _from(Ended(grpc.StatusCode.UNAVAILABLE, "words", info)).reason_name == "AGENT_UNAVAILABLE"
    foreign = error_details_pb2.ErrorInfo(reason="TASK_NOT_FOUND", domain="example.com")
    assert _from(Ended(grpc.StatusCode.NOT_FOUND, "words", foreign)).reason_name == "AGENT_FAILED"
    assert TroupeError.from_proto(Error(code=14, reason=4711), unavailable=_UNAVAILABLE).reason == _UNAVAILABLE  # type: ignore[arg-type] # newer than we are


@pytest.mark.parametrize(
    "words",
    [
        "CLIENT: Received message larger than max (5000000 vs. 4194304)",
        "SERVER: Sent message larger than max (10 vs. 5)",
        "grpc: received message larger than max (5 vs. 4)",
        "gRPC message exceeds maximum size 4194304: 5000000",
        "Received message exceeds the maximum configured message size.",
        "trying to send message larger than max (6 vs. 5)",
        "Attempted to send message with a size larger than 4194304",
        "decoded message length too large: found 5000000 bytes, the limit is: 4194304 bytes",
        "received trailing metadata size exceeds hard limit (20000 vs. 16384)",
    ],
)
def test_a_message_that_is_too_large_is_no_quota(words: str) -> None:
    error = _from(Ended(grpc.StatusCode.RESOURCE_EXHAUSTED, words))
    assert (error.reason, error.retryable) == (ErrorReason.ERROR_REASON_MESSAGE_TOO_LARGE, False)
    assert _from(Ended(grpc.StatusCode.RESOURCE_EXHAUSTED, words, _wait(1))).retryable


@pytest.mark.parametrize("words", ["message quota exceeded", "rate limit: 5 messages per minute", "slow down", ""])
def test_a_spent_quota_is_tried_again(words: str) -> None:
    error = _from(Ended(grpc.StatusCode.RESOURCE_EXHAUSTED, words))
    assert (error.reason, error.retryable) == (ErrorReason.ERROR_REASON_QUOTA_EXCEEDED, True)


def _garbled(value: bytes) -> bytes:
    status = status_pb2.Status(code=14, message="words")
    status.details.add(type_url="type.googleapis.com/google.rpc.RetryInfo", value=value)
    encoded: bytes = status.SerializeToString()
    return encoded


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xff\xff",
        b"\x0a",
        _garbled(b"\xff"),
        _garbled(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=10**18)).SerializeToString()),
        status_pb2.Status(code=5, message="words").SerializeToString(),
    ],
)
def test_details_that_cannot_be_read_are_a_failure_of_their_server(raw: bytes) -> None:
    error = _from(Ended(grpc.StatusCode.UNAVAILABLE, raw=raw))
    assert (error.reason, error.retryable) == (_FAILED, True)
    assert "words" in error.message


def test_a_wait_is_never_negative_and_an_endless_one_is_refused() -> None:
    assert _from(Ended(grpc.StatusCode.UNAVAILABLE, "words", _wait(-3))).retry_delay == timedelta()
    endless = Error(code=14)
    endless.retry_delay.seconds = 10**18
    with pytest.raises(ValueError, match="1000000000000000000 s"):
        TroupeError.from_proto(endless)
