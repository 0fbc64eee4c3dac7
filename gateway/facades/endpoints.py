"""The endpoints that are no stream: a task is submitted, its metrics are read."""

from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.gateway.dialects import Asked
from troupe.gateway.downstream.exchange import Downstream, Upload
from troupe.gateway.facades import requests
from troupe.gateway.facades.messages import JsonCall, method_path, to_fields
from troupe.gateway.facades.opening import OpenCall
from troupe.gateway.wire.request import RequestHead


class Endpoint:
    """A request that is one call."""

    def __init__(self, method: str, dialect: JsonCall) -> None:
        self._asked = Asked(method_path(method), dialect)

    def open(self, calls: OpenCall, downstream: Downstream) -> Upload:
        return calls(self._asked, downstream)


def run_task(head: RequestHead, query: bytes, *, max_body_bytes: int, max_response_bytes: int) -> Endpoint:
    """`POST /run-task`.

    Raises:
        RequestError: it has a query.
    """
    requests.no_query(query)
    dialect = JsonCall(
        head,
        request=requests.run_task,
        response=pb.SubmitTaskResponse,
        answer=_submitted,
        max_response_bytes=max_response_bytes,
        max_body_bytes=max_body_bytes,
    )
    return Endpoint("SubmitTask", dialect)


def metrics(head: RequestHead, segment: bytes, query: bytes, *, max_response_bytes: int) -> Endpoint:
    """`GET /metrics/{task_id}`.

    Raises:
        RequestError: the id is none, or there is a query.
    """
    requests.no_query(query)
    request = pb.GetTaskMetricsRequest(task_id=requests.task_id_of(segment))
    dialect = JsonCall(
        head,
        request=lambda _body: request,
        response=pb.GetTaskMetricsResponse,
        answer=_metrics_fields,
        max_response_bytes=max_response_bytes,
    )
    return Endpoint("GetTaskMetrics", dialect)


def _submitted(response: pb.SubmitTaskResponse) -> dict[str, object]:
    return {"task_id": response.task.task_id, "steps_created": len(response.task.plan.steps)}


def _metrics_fields(response: pb.GetTaskMetricsResponse) -> dict[str, object]:
    return to_fields(response.metrics)
