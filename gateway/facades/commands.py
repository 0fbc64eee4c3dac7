"""What a client may ask for over the WebSocket of a task: one JSON object a message, one answer to each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.task_pb2 import TaskState
from troupe.gateway.dialects import Asked
from troupe.gateway.facades.failure import Failure
from troupe.gateway.facades.messages import JsonCall, method_path
from troupe.gateway.facades.requests import check_known, from_fields, json_object
from troupe.gateway.wire.dialect import RequestError
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.status import Code

TOO_MANY: Final = Failure(
    Code.RESOURCE_EXHAUSTED, "too many requests wait for their answers; wait for some of them", "QUOTA_EXCEEDED"
)
_TIMEOUT_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Command:
    """A kind of message."""

    method: str
    request: type[pb.CancelTaskRequest] | type[pb.ResolveApprovalRequest]
    response: type[pb.CancelTaskResponse] | type[pb.ResolveApprovalResponse]
    fields: Sequence[str]
    """Of the request, those that a client sends."""


COMMANDS: Final[Mapping[str, Command]] = {
    "cancel": Command("CancelTask", pb.CancelTaskRequest, pb.CancelTaskResponse, ("reason", "mode", "request_id")),
    "resolve_approval": Command(
        "ResolveApproval",
        pb.ResolveApprovalRequest,
        pb.ResolveApprovalResponse,
        ("step_id", "decision", "comment", "decided_by", "request_id"),
    ),
}


@dataclass(frozen=True, slots=True)
class Order:
    """A message of a client."""

    name: str
    request: pb.CancelTaskRequest | pb.ResolveApprovalRequest

    @classmethod
    def read(cls, text: str, task_id: str) -> "Order":
        """Reads a message.

        Raises:
            RequestError: it is not what it should be.
        """
        fields = json_object(text)
        check_known(fields, COMMANDS, "request")
        if len(fields) != 1:
            raise RequestError(f"the message holds {len(fields)} requests; send one of {', '.join(COMMANDS)} a message")
        name, values = next(iter(fields.items()))
        request = COMMANDS[name].request(task_id=task_id)
        from_fields(request, values, COMMANDS[name].fields, name)
        return cls(name, request)

    def asked(self, head: RequestHead, *, max_response_bytes: int) -> Asked:
        """The call that it asks for."""
        command = COMMANDS[self.name]
        dialect = JsonCall(
            head,
            request=lambda _body: self.request,
            response=command.response,
            answer=self._answer,
            max_response_bytes=max_response_bytes,
            failed=self.failed,
            default_timeout_seconds=_TIMEOUT_SECONDS,
        )
        return Asked(method_path(command.method), dialect)

    def failed(self, failure: Failure) -> dict[str, Any]:
        """The answer to it where it fails."""
        return {"error": {**self._marks(), **failure.fields()}}

    def _answer(self, response: pb.CancelTaskResponse | pb.ResolveApprovalResponse) -> dict[str, Any]:
        return {"reply": {**self._marks(), "state": TaskState.Name(response.task.state)}}

    def _marks(self) -> dict[str, str]:
        marks = {"request": self.name}
        return {**marks, "request_id": self.request.request_id} if self.request.request_id else marks
