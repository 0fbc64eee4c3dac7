"""JSON that means something else than its author thinks is refused, with the path, the value and what was meant."""

import json
import math
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from troupe.api.agent.v1 import agent_service_pb2 as agent
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.inference.v1 import inference_service_pb2 as inference
from troupe.api.memory.v1 import memory_service_pb2 as memory
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.core.error_fitting import MAX_VIOLATIONS
from troupe.core.errors import TroupeError
from troupe.core.json_messages import read_json
from troupe.core.nearest import suggestion

SUBMIT, LIST, CANCEL, RESOLVE = (
    pb.SubmitTaskRequest,
    pb.ListTasksRequest,
    pb.CancelTaskRequest,
    pb.ResolveApprovalRequest,
)
STEPS = "task.plan.steps"


def spec(**fields: Any) -> dict[str, Any]:
    return {"task": {"input": "x", **fields}}


def step(**fields: Any) -> dict[str, Any]:
    return spec(plan={"steps": [{"stepId": "a", "agent": "b"}, fields]})


def refused(value: Any, kind: type[Message]) -> TroupeError:
    with pytest.raises(TroupeError) as caught:
        read_json(value if isinstance(value, str | bytes) else json.dumps(value), kind())
    assert caught.value.code.name == "INVALID_ARGUMENT"
    return caught.value


@pytest.mark.parametrize(
    ("kind", "value", "path", "says"),
    [
        # Names of enum values: short, misspelt, in other cases, in lists, in maps of lists, inside oneofs.
        (LIST, {"states": ["FAILED"]}, "states[0]",
         'is "FAILED", which is no `TaskState`; did you mean `TASK_STATE_FAILED`?'),
        (LIST, {"states": [1, "TASK_STATE_FALED"]}, "states[1]", "did you mean `TASK_STATE_FAILED`?"),
        (LIST, {"states": ["canceled"]}, "states[0]", "did you mean `TASK_STATE_CANCELLED`?"),
        (CANCEL, {"taskId": "t", "mode": "AFTER_STEP"}, "mode", "did you mean `CANCEL_MODE_AFTER_STEP`?"),
        (CANCEL, {"mode": "after-step"}, "mode", "did you mean `CANCEL_MODE_AFTER_STEP`?"),
        (CANCEL, {"mode": "gently"}, "mode", "known: `CANCEL_MODE_UNSPECIFIED`, `CANCEL_MODE_IMMEDIATE`"),
        (RESOLVE, {"decision": "APPROVE"}, "decision", "did you mean `APPROVAL_DECISION_APPROVE`?"),
        (SUBMIT, spec(priority="HIGH"), "task.priority", "did you mean `PRIORITY_HIGH`?"),
        (SUBMIT, step(retryPolicy={"retryableCodes": ["UNAVAILABL"]}), f"{STEPS}[1].retryPolicy.retryableCodes[0]",
         "did you mean `UNAVAILABLE`?"),
        (pb.RunTaskRequest, {"onDisconnect": "CANCEL"}, "onDisconnect", "did you mean `ON_DISCONNECT_CANCEL`?"),
        (pb.RunTasksRequest, {"submissions": [{}, {"events": "TERMINAL"}]}, "submissions[1].events",
         "`EVENT_SELECTION_TERMINAL`"),
        (inference.GenerateRequest, {"messages": [{"role": "USER"}]}, "messages[0].role", "did you mean `ROLE_USER`?"),
        # Numbers of enum values, and what is neither a name nor a number.
        (CANCEL, {"mode": 7}, "mode", "is 7, which is no `CancelMode`"),
        (CANCEL, {"mode": "2"}, "mode", 'is "2", which is no `CancelMode`'),
        (CANCEL, {"mode": True}, "mode", "is true; send one of"),
        (CANCEL, {"mode": 1.7}, "mode", "is 1.7; send one of"),
        (CANCEL, '{"mode": "\\ud800"}', "mode", 'is "\\ud800", which is no `CancelMode`'),
        (CANCEL, '{"\\ud800": 1}', "\\ud800", "is no field of `CancelTaskRequest`"),
        (LIST, {"states": [99]}, "states[0]", "is 99, which is no `TaskState`"),
        (LIST, {"states": "TASK_STATE_FAILED"}, "states", "send a list in brackets"),
        # Fields.
        (SUBMIT, spec(memoryfilter={"folder": "/x"}), "task.memoryfilter", "did you mean `memoryFilter`?"),
        (SUBMIT, spec(memory_filtr={}), "task.memory_filtr", "did you mean `memory_filter`?"),
        (SUBMIT, spec(timeoutSeconds=5), "task.timeoutSeconds", "did you mean `timeout`?"),
        (SUBMIT, step(dependson=["a"]), f"{STEPS}[1].dependson", "did you mean `dependsOn`?"),
        (SUBMIT, {"task": {"input": "x"}, "request-id": "r"}, "request-id", "did you mean `requestId`?"),
        (memory.SearchRequest, {"query": "q", "filters": {}}, "filters", "did you mean `filter`?"),
        (pb.GetTaskRequest, {"later": {"field": 1}}, "later", "known: `taskId`"),
        (pb.GetTaskRequest, {"[some.extension]": 1}, "[some.extension]", "is no field of `GetTaskRequest`"),
        (agent.ExecuteManyRequest, {"calls": [{"callId": "1", "start": {"request": {"agnt": "x"}}}]},
         "calls[0].start.request.agnt", "did you mean `agent`?"),
        # Twice.
        (SUBMIT, '{"task": {"input": "a", "input": "b"}}', "task.input", "stands twice"),
        (SUBMIT, '{"task": {"labels": {"a": "1", "a": "2"}}}', "task.labels.a", "stands twice"),
        (CANCEL, {"taskId": "a", "task_id": "a"}, "task_id", "is the same field as `taskId`"),
        (inference.GenerateRequest, '{"responseSchema": {"a": {"b": 1, "b": 2}}}', "responseSchema.a.b", "twice"),
        # Values of the wrong form.
        (SUBMIT, spec(input=5), "task.input", "is 5; send a string"),
        (SUBMIT, spec(labels={"a": 5}), 'task.labels["a"]', "is 5; send a string"),
        (SUBMIT, spec(labels=[]), "task.labels", "send an object in braces"),
        (SUBMIT, spec(timeout="5"), "task.timeout", 'is "5", which is no `Duration`: write seconds, such as "90s"'),
        (SUBMIT, spec(timeout={"seconds": 5}), "task.timeout", "is an object, which is no `Duration`"),
        (SUBMIT, spec(budget={"maxTokens": "9" * 30}), "task.budget.maxTokens",
         "send a whole number from -9223372036854775808"),
        (SUBMIT, step(requiresApproval="yes"), f"{STEPS}[1].requiresApproval", 'is "yes"; send true or false'),
        (SUBMIT, step(retryPolicy={"backoffMultiplier": "x"}),
         f"{STEPS}[1].retryPolicy.backoffMultiplier", "send a number"),
        (SUBMIT, step(dependsOn=[None]), f"{STEPS}[1].dependsOn[0]", "is null; send a string"),
        (SUBMIT, {"task": []}, "task", "is []; send an object in braces"),
        (SUBMIT, '{"task": {"input": "\\ud800"}}', "task.input", "half of a surrogate pair"),
        (SUBMIT, '{"task": {"labels": {"\\udc00": "x"}}}', 'task.labels["\\udc00"]', "half of a surrogate pair"),
        (LIST, {"pageSize": 1 << 40}, "pageSize", "is 1099511627776; send a whole number"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(kind: type[Message], value: Any, path: str, says: str) -> None:
    error = refused(value, kind)
    assert [violation.field for violation in error.violations] == [path]
    assert says in error.violations[0].description
    assert f"`{path}` " in error.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "an object in braces"),
        ("[]", "an object in braces"),
        ("null", "an object in braces"),
        ("{", "this is no JSON"),
        ('{"taskId": }', "this is no JSON"),
        ("[" * 100_000, "nested too deeply"),
        (b"\xff\xfe{}", "not UTF-8"),
        ('{"pageSize": ' + "9" * 5_000 + "}", "this is no JSON"),
    ],
)
def test_what_is_no_object(text: str | bytes, says: str) -> None:
    assert says in refused(text, pb.GetTaskRequest).message


def test_all_is_told_at_once_and_never_too_much() -> None:
    two = refused({"task": {"inptu": "x"}, "requestID": "r"}, SUBMIT)
    assert [violation.field for violation in two.violations] == ["task.inptu", "requestID"]
    many = refused({f"{'x' * 100_000}{place}": "y" * 100_000 for place in range(50)}, SUBMIT)
    assert len(many.violations) == MAX_VIOLATIONS
    assert all(violation.field for violation in many.violations)
    assert many.message.endswith("; and there may be more")
    assert len(many.message) < 10_000


def test_both_names_of_fields_and_both_forms_of_values_are_taken() -> None:
    camel = read_json('{"pageSize": "5", "states": ["TASK_STATE_FAILED", 4], "pageToken": null}', LIST())
    proto = read_json(b'\xef\xbb\xbf{"page_size": 5.0, "states": [5, "TASK_STATE_COMPLETED"]}', LIST())
    assert camel == proto
    free = {"responseSchema": {"anything": [{"goes": None}, 1.5]}, "messages": [{"role": "ROLE_USER"}]}
    assert json_format.MessageToDict(read_json(json.dumps(free), inference.GenerateRequest())) == free


STEP = st.builds(
    Step,
    step_id=st.text(max_size=4),
    depends_on=st.lists(st.text(max_size=3), max_size=2),
    requires_approval=st.booleans(),
    retry_policy=st.fixed_dictionaries(
        {
            "max_attempts": st.integers(-(2**31), 2**31 - 1),
            "backoff_multiplier": st.floats(),
            "retryable_codes": st.lists(st.integers(0, 16), max_size=3),
            "max_backoff": st.fixed_dictionaries(
                {"seconds": st.integers(0, 10**11), "nanos": st.integers(0, 10**9 - 1)}
            ),
        }
    ),
)


@given(STEP, st.booleans())
def test_what_protobuf_writes_is_read(message: Step, contract_names: bool) -> None:
    text = json_format.MessageToJson(message, preserving_proto_field_name=contract_names)
    read = read_json(text, Step())
    if math.isnan(message.retry_policy.backoff_multiplier):
        assert math.isnan(read.retry_policy.backoff_multiplier)
        message.retry_policy.backoff_multiplier = read.retry_policy.backoff_multiplier = 0
    assert read == message


@pytest.mark.parametrize(
    ("name", "known", "says"),
    [
        ("extractiv", ["extractive", "chat"], "did you mean `extractive`?"),
        ("Chat", ["extractive", "chat"], "did you mean `chat`?"),
        ("gpt-9", ["extractive", "chat"], "known: `extractive`, `chat`"),
        ("x", [], "known: none"),
        ("zz", [f"name-{n}" for n in range(40)], "`name-11` and 28 more"),
        ("a" * 1_000_000, ["b" * 10], "known: `bbbbbbbbbb`"),
    ],
)
def test_suggestions(name: str, known: list[str], says: str) -> None:
    assert says in suggestion(name, known)
