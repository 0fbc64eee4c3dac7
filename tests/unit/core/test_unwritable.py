"""What JSON cannot write is refused with its path, and nothing else is."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import duration_pb2, json_format, struct_pb2, timestamp_pb2
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from troupe.api.common.v1.step_pb2 import Step
from troupe.api.inference.v1.inference_service_pb2 import GenerateRequest
from troupe.api.memory.v1.memory_service_pb2 import IngestResult
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.task_pb2 import TaskSpec
from troupe.core.errors import TroupeError
from troupe.core.unwritable import unwritable
from troupe.core.validation import check_rules

SECONDS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from(
    [0, 1, -1, 315_576_000_000, -62_135_596_800, 253_402_300_799]
)
NANOS = st.integers(-(2**31), 2**31 - 1) | st.sampled_from([0, 1, -1, 999_999_999, -999_999_999, 10**9])


@given(SECONDS, NANOS, st.sampled_from([duration_pb2.Duration, timestamp_pb2.Timestamp]))
def test_times_are_refused_when_json_cannot_write_them(seconds: int, nanos: int, kind: Callable[..., Message]) -> None:
    message = kind(seconds=seconds, nanos=nanos)
    try:
        json_format.MessageToJson(message)
    except (json_format.Error, ValueError):
        assert unwritable(message)
    else:
        assert not unwritable(message)


def test_paths_are_told() -> None:
    step = Step(timeout={"seconds": 1}, retry_policy={"max_backoff": {"seconds": 2, "nanos": -1}})  # type: ignore[arg-type] # checked by protobuf
    spec = TaskSpec(timeout={"nanos": 10**9}, plan={"steps": [step, step]})  # type: ignore[arg-type] # the same
    found = [violation.field for violation in unwritable(pb.SubmitTaskRequest(task=spec))]
    assert found == [
        "task.plan.steps[0].retry_policy.max_backoff",
        "task.plan.steps[1].retry_policy.max_backoff",
        "task.timeout",
    ]
    result = IngestResult()
    result.document.ingest_time.seconds = 2**62
    assert [violation.field for violation in unwritable(result)] == ["document.ingest_time"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"a": float("nan")}, "holds the number nan"),
        ({"a": [1, {"b": float("-inf")}]}, "holds the number -inf"),
        ({"a": [None, True, 1e308, "x"]}, ""),
    ],
)
def test_free_form_objects(value: dict[str, Any], says: str) -> None:
    request = GenerateRequest()
    request.tools.add(name="t").parameters.update(value)
    found = unwritable(request)
    assert [violation.field for violation in found] == (["tools[0].parameters"] if says else [])
    assert says in "".join(violation.description for violation in found)


def test_free_form_objects_are_not_deep_nor_without_kind() -> None:
    request = GenerateRequest()
    inner = request.response_schema
    for _ in range(20):
        inner = inner.fields["x"].struct_value
    inner.SetInParent()
    assert "nested more than 32 deep" in unwritable(request)[0].description
    request.response_schema.Clear()
    request.response_schema.fields["x"].CopyFrom(struct_pb2.Value())
    assert "no kind" in unwritable(request)[0].description


def test_requests_are_refused_with_all_that_is_wrong() -> None:
    spec = TaskSpec(input="x", model="m" * 200, timeout={"seconds": 5, "nanos": -1})  # type: ignore[arg-type] # checked by protobuf
    with pytest.raises(TroupeError) as caught:
        check_rules(pb.SubmitTaskRequest(task=spec))
    assert {violation.field for violation in caught.value.violations} == {"task.model", "task.timeout"}
    assert "5 s and -1 ns; both must have the same sign" in caught.value.message
