import pytest

from troupe.gateway.wire.dialect import RequestError
from troupe.gateway.wire.framing import MessageScanner
from troupe.gateway.wire.grpc_web import Grpc
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.status import Code


def grpc_call(**headers: bytes) -> Grpc:
    fields = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    head = RequestHead(b"POST", b"/s.S/M", tuple(fields.items()), fields, http2=True)
    return Grpc(head, b"application/grpc", MessageScanner(max_message_bytes=100))


@pytest.mark.parametrize("encoding", [b"", b"identity", b"gzip", b"deflate"])
def test_messages_may_be_packed_as_grpc_servers_know(encoding: bytes) -> None:
    assert grpc_call(grpc_encoding=encoding).open().timeout_seconds is None


def test_other_encodings_are_unimplemented() -> None:
    with pytest.raises(RequestError, match="identity, gzip, deflate") as refused:
        grpc_call(grpc_encoding=b"zstd").open()
    assert refused.value.code == Code.UNIMPLEMENTED
