"""What clients of the facades ask for: bodies, paths and queries, read into requests of the task API."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from google.protobuf.message import Message

from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1 import task_pb2
from troupe.core.json_messages import fill
from troupe.core.nearest import suggestion
from troupe.gateway.transcoding import refusing
from troupe.gateway.wire.dialect import RequestError
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.shown import shown

RUN_TASK_FIELDS: Final = ("user_input", "request_id", "model", "conversation_id", "labels")
_MAX_SEQUENCE: Final = (1 << 63) - 1
_MAX_TASK_ID_CHARS: Final = 128
_MAX_PARAMETERS: Final = 32
_LAST_EVENT_ID: Final = ("lasteventid", "evslasteventid")
_AFTER_SEQUENCE: Final = "aftersequence"
_BYTE_ORDER_MARK: Final = "\ufeff"  # with which Windows begins texts


def run_task(body: bytes) -> pb.SubmitTaskRequest:
    """The body of `POST /run-task`.

    Raises:
        RequestError: it is not what it should be.
    """
    fields = by_contract_names(_object(body), RUN_TASK_FIELDS, "field")
    texts = {name: _text(name, fields.get(name, "")) for name in RUN_TASK_FIELDS if name != "labels"}
    if not texts["user_input"].strip():
        raise RequestError("`user_input` is missing or blank; say in it what is to be done")
    task = task_pb2.TaskSpec(
        input=texts["user_input"],
        model=texts["model"],
        conversation_id=texts["conversation_id"],
        labels=_labels(fields.get("labels", {})),
    )
    return pb.SubmitTaskRequest(task=task, request_id=texts["request_id"])


def _labels(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise RequestError(f"`labels` is {shown(value)}; send an object of strings")
    return {_text("key of labels", key): _text(f"labels.{key}", label) for key, label in value.items()}


def _object(body: bytes) -> dict[str, Any]:
    if not body.strip():
        raise RequestError('the body is empty; send JSON such as {"user_input": "…"}')
    try:
        return json_object(body.decode())
    except UnicodeDecodeError as error:
        raise RequestError(f"the body is no UTF-8 ({error.reason} at byte {error.start}); send JSON in UTF-8") from None


def json_object(text: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        RequestError: it is none.
    """
    try:
        value = json.loads(text.removeprefix(_BYTE_ORDER_MARK), object_pairs_hook=_distinct)
    except RequestError:
        raise
    except ValueError as error:
        raise RequestError(f"this is no JSON ({error}): {shown(text)}") from None
    except RecursionError:
        raise RequestError("the JSON is nested too deeply") from None
    if not isinstance(value, dict):
        raise RequestError(f"the JSON is {shown(value)}; send an object")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        counts = Counter([name for name, _ in pairs])
        twice = next(name for name, count in counts.items() if count > 1)
        raise RequestError(f"the field {shown(twice)} stands twice; send it once")
    return fields


def check_known(names: Mapping[str, object], known: Sequence[str] | Mapping[str, object], kind: str) -> None:
    """Refuses what nobody would read.

    Raises:
        RequestError: a name is not among the known ones.
    """
    for name in names:
        if name not in known:
            problem = f"is not known here; {suggestion(name, known)}"
            raise RequestError(f"the {kind} {shown(name)} {problem}", violations=[(shown(name)[1:-1], problem)])


def by_contract_names(fields: Mapping[str, Any], known: Sequence[str], kind: str) -> dict[str, Any]:
    """The fields under the names of the contract; clients may send their JSON names too, as everywhere.

    Raises:
        RequestError: a name is not among the known ones, or a field stands under both of its names.
    """
    contract = {json_name(name): name for name in known}
    found: dict[str, Any] = {}
    for name, value in fields.items():
        own = contract.get(name, name)
        if own in found:
            raise RequestError(f"the {kind} {shown(own)} stands twice, under both of its names; send it once")
        found[own] = value
    check_known(found, known, kind)
    return found


def json_name(name: str) -> str:
    """How protobuf JSON writes the name of a field."""
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise RequestError(f"`{name}` is {shown(value)}; send a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RequestError(f"`{name}` holds half of a surrogate pair, which is no text") from None
    return value


def task_id_of(segment: bytes) -> str:
    """The last segment of a path.

    Raises:
        RequestError: it cannot be the id of a task.
    """
    try:
        task_id = unquote(segment.decode("latin-1"), errors="strict")
    except UnicodeDecodeError:
        raise RequestError(f"the task id {shown(segment)} is no UTF-8") from None
    if len(task_id) > _MAX_TASK_ID_CHARS:
        raise RequestError(f"the task id has {len(task_id)} characters; ids have at most {_MAX_TASK_ID_CHARS}")
    return task_id


def no_query(query: bytes) -> None:
    """An endpoint without parameters.

    Raises:
        RequestError: there are some.
    """
    try:
        given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_PARAMETERS))
    except ValueError:
        raise RequestError(f"the query has more than {_MAX_PARAMETERS} parameters; none are known here") from None
    check_known(given, (), "parameter")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a stream goes on."""

    after_sequence: int
    reconnects: bool
    """Whether a client says so that connects again by itself."""


def cursor(head: RequestHead, query: bytes) -> Cursor:
    """Where a stream goes on: the newest of `Last-Event-ID`, `?lastEventId=` and `?after_sequence=`.

    Browsers send the first when they connect again, what stands in for them elsewhere the second; the rest of the URL
    stays what it was. Parameters that are not known are let pass: they are marks against caches, or a proxy's.

    Raises:
        RequestError: one of them is no sequence.
    """
    last_event_id = head.get(b"last-event-id").decode("latin-1")
    given = [("Last-Event-ID", last_event_id)] if last_event_id else []
    parameters = parse_qsl(query.decode("latin-1"))
    given += [(name, value) for name, value in parameters if _plain(name) in _LAST_EVENT_ID]
    reconnects = bool(given)
    given += [(name, value) for name, value in parameters if _plain(name) == _AFTER_SEQUENCE]
    return Cursor(max([_sequence(name, value) for name, value in given], default=0), reconnects)


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _sequence(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 19 and int(value) <= _MAX_SEQUENCE):
        raise RequestError(f"`{name}` is {shown(value)}; send the sequence of the last event that you have, or 0")
    return int(value)


def from_fields(message: Message, fields: object, known: Sequence[str], where: str) -> None:
    """Fills a request from protobuf JSON.

    Raises:
        RequestError: a field or a value is unknown, or has the wrong type.
    """
    if not isinstance(fields, dict):
        raise RequestError(f"`{where}` is {shown(fields)}; send an object")
    own = by_contract_names(fields, known, f"field of `{where}`")
    refusing(lambda: fill(message, own, path=where))
