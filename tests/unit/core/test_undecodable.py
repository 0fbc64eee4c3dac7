"""What cannot be decoded is told apart from what can, and the field is named."""

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.core.undecodable import undecodable


def field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2, len(data)]) + data


@pytest.mark.parametrize(
    ("kind", "data", "path", "says"),
    [
        (pb.SubmitTaskRequest, field(1, field(1, b"ok\xff")), "task.input", "is not UTF-8 at its byte 2"),
        (
            pb.SubmitTaskRequest,
            field(1, field(2, field(1, field(1, b"a")) + field(1, field(2, b"\xed\xa0\x80")))),
            "task.plan.steps[1].agent",
            "is not UTF-8 at its byte 0",
        ),
        (pb.SubmitTaskRequest, field(1, b"x" * 9)[:5], "task", "has 3 bytes where 9 are announced"),
        (pb.SubmitTaskRequest, field(1, field(6, b"\x08")), "task.budget.max_tokens", "ends within a number"),
        (pb.ListTasksRequest, b"\x08" + b"\xff" * 11, "page_size", "more than ten bytes"),
        (pb.ListTasksRequest, b"\x0f\x01", "page_size", "the wire type 7"),
        (pb.GetTaskRequest, b"\x00\x01", "", "it has a field of the number 0"),
        (pb.GetTaskRequest, b"\xff", "", "it ends within a number"),
        (pb.GetTaskRequest, b"\x0d\x01", "task_id", "has 1 bytes where 4 are announced"),
    ],
)
def test_the_first_fault_is_named(kind: type[Message], data: bytes, path: str, says: str) -> None:
    with pytest.raises(DecodeError):
        kind.FromString(data)
    descriptor = kind.DESCRIPTOR
    error = undecodable(data, descriptor)  # type: ignore[arg-type] # stubs know two classes of descriptors
    assert [violation.field for violation in error.violations] == ([path] if path else [])
    assert says in error.message
    assert descriptor.full_name in error.message
    assert error.code.name == "INVALID_ARGUMENT"


@given(st.binary(max_size=40))
def test_any_bytes_get_an_error(data: bytes) -> None:
    assert undecodable(data, Step.DESCRIPTOR).message
