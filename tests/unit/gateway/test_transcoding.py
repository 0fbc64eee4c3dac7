"""JSON by the descriptors of a file that the gateway is given."""

import json
from pathlib import Path

import pytest
from google.protobuf import any_pb2, descriptor_pb2
from hypothesis import given
from hypothesis import strategies as st

from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1 import task_pb2
from troupe.gateway.methods import Methods
from troupe.gateway.transcoding import JsonCodec, describe
from troupe.gateway.wire.dialect import RequestError, ResponseError
from troupe.gateway.wire.status import Code
from troupe.gateway.wire.status_details import StatusDetail

PATH = b"/shop.v1.Shop/Buy"
SUBMIT = b"/troupe.api.orchestrator.v1.OrchestratorService/SubmitTask"
TROUPE = JsonCodec(SUBMIT, Methods.load().find(SUBMIT))


@pytest.fixture
def shop(tmp_path: Path) -> JsonCodec:
    """A method whose messages are an `Any`, and whose file has another message that may stand in it."""
    field = descriptor_pb2.FieldDescriptorProto
    any_file = descriptor_pb2.FileDescriptorProto()
    any_pb2.DESCRIPTOR.CopyToProto(any_file)
    file = descriptor_pb2.FileDescriptorProto(
        name="shop.proto", package="shop.v1", syntax="proto3", dependency=[any_file.name]
    )
    order = file.message_type.add(name="Order")
    order.field.add(
        name="item", number=1, type=field.TYPE_MESSAGE, label=field.LABEL_OPTIONAL, type_name=".google.protobuf.Any"
    )
    book = file.message_type.add(name="Book")
    book.field.add(name="page_count", number=1, type=field.TYPE_INT64, label=field.LABEL_OPTIONAL)
    file.service.add(name="Shop").method.add(name="Buy", input_type=".shop.v1.Order", output_type=".shop.v1.Order")
    path = tmp_path / "shop.binpb"
    path.write_bytes(descriptor_pb2.FileDescriptorSet(file=[any_file, file]).SerializeToString())
    return JsonCodec(PATH, Methods.load((path,)).find(PATH))


BOOK = b'{"item": {"@type": "type.googleapis.com/shop.v1.Book", "pageCount": "7"}}'


def test_any_holds_what_the_file_describes(shop: JsonCodec) -> None:
    assert json.loads(shop.response(shop.request(BOOK))) == json.loads(BOOK)


def test_any_of_an_unknown_type(shop: JsonCodec) -> None:
    with pytest.raises(RequestError, match=r"shop\.v1\.Boat"):
        shop.request(BOOK.replace(b"Book", b"Boat"))
    with pytest.raises(ResponseError, match=r"shop\.v1\.Boat"):
        shop.response(shop.request(BOOK).replace(b"Book", b"Boat"))


def test_bytes_that_are_no_message() -> None:
    with pytest.raises(ResponseError, match="SubmitTaskResponse"):
        TROUPE.response(b"\xff")


def test_method_that_is_not_known() -> None:
    with pytest.raises(RequestError, match="TROUPE_GATEWAY__DESCRIPTORS") as caught:
        JsonCodec(PATH, None).check()
    assert caught.value.code is Code.UNIMPLEMENTED


def test_details_that_cannot_be_described() -> None:
    pool = pb.DESCRIPTOR.pool
    assert describe(StatusDetail("shop.v1.Book", b""), pool) is None
    assert describe(StatusDetail("google.rpc.ErrorInfo", b"\xff"), pool) is None
    assert describe(StatusDetail("google.rpc.ErrorInfo", b"\x0a\x01R"), pool) == {"reason": "R"}


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["task", "input", "labels", "plan", "steps", "requestId"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(json_values)
def test_any_json_is_read_or_refused(value: object) -> None:
    try:
        TROUPE.request(json.dumps(value).encode())
    except RequestError:
        return


@given(st.binary(max_size=30))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        TROUPE.request(data)
    except RequestError:
        return


@given(st.text(st.characters(exclude_categories=["Cs"])), st.dictionaries(st.text("abü"), st.text("xyz"), max_size=3))
def test_requests_survive(text: str, labels: dict[str, str]) -> None:
    request = pb.SubmitTaskRequest(task=task_pb2.TaskSpec(input=text, labels=labels))
    value = {"task": {"input": text, "labels": labels}}
    assert pb.SubmitTaskRequest.FromString(TROUPE.request(json.dumps(value).encode())) == request
