"""Makes statuses short enough for the trailers that every gRPC client takes.

gRPC ends a call whose metadata has more than 8 KiB, and its error then says nothing of ours. Whatever a message, a name
or a value holds, the code, the reason, whether to come again and when arrive.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

MAX_STATUS_BYTES: Final = 6 << 10
"""Of `grpc-message` and `grpc-status-details-bin` as they stand on the wire: other trailers need room beside them."""
MAX_VIOLATIONS: Final = 20
RETRYABLE: Final = "retryable"
SHORTENED: Final = "shortened"
"""In the metadata of an error of which something was left out."""
VIOLATIONS: Final = "violations"
"""How many there are, where only the first are listed."""

_ALWAYS_KEPT: Final = (RETRYABLE, SHORTENED, VIOLATIONS)
_AS_IT_IS: Final = bytes([byte for byte in range(0x20, 0x7F) if byte != 0x25])  # of `grpc-message`
_GAP: Final = " […shortened…] "
_KINDS: Final = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What is kept of a status; texts are counted in bytes."""

    message_bytes: int
    violations: int
    entries: int
    text_bytes: int
    """Of a violation's field and of its description, of a key and of a value."""


# The message says most, so it is shortened last. What is kept by the last of these fits, whatever it is.
_STEPS: Final = (
    _Bounds(message_bytes=2048, violations=20, entries=32, text_bytes=256),
    _Bounds(message_bytes=1024, violations=20, entries=16, text_bytes=64),
    _Bounds(message_bytes=512, violations=10, entries=8, text_bytes=64),
    _Bounds(message_bytes=256, violations=3, entries=4, text_bytes=64),
)


def fitted(status: status_pb2.Status) -> status_pb2.Status:
    """The status, shortened where it has to be; it then says so in its message and its metadata."""
    if encoded_bytes(status) <= MAX_STATUS_BYTES:
        return status
    shorter = status
    for bounds in _STEPS:
        shorter = _shortened(status, bounds)
        if encoded_bytes(shorter) <= MAX_STATUS_BYTES:
            break
    return shorter


def encoded_bytes(status: status_pb2.Status) -> int:
    """What a status takes in the trailers."""
    message: bytes = status.message.encode()
    escaped = message.translate(None, _AS_IT_IS)
    base64_bytes = 4 * ((status.ByteSize() + 2) // 3)
    return len(message) + 2 * len(escaped) + int(base64_bytes)


def cut(text: str, max_bytes: int) -> str:
    """The beginning and the end of a text that is too long: messages end in what to do."""
    data = text.encode()
    if len(data) <= max_bytes:
        return text
    room = max_bytes - len(_GAP.encode())
    head, tail = data[: room - room // 3], data[len(data) - room // 3 :]
    return head.decode(errors="ignore") + _GAP + tail.decode(errors="ignore")


def sound(text: str) -> str:
    """The text without halves of surrogate pairs, which no message can hold."""
    return text.encode("utf-8", "replace").decode()


def _shortened(status: status_pb2.Status, bounds: _Bounds) -> status_pb2.Status:
    message = cut(status.message, bounds.message_bytes)
    if message == status.message:
        message = cut(f"{message} (its details are shortened)".lstrip(), bounds.message_bytes)
    shorter = status_pb2.Status(code=status.code, message=message)
    for detail in _known(status):
        _shorten(detail, bounds, violations=_violations(status))
        shorter.details.add().Pack(detail)
    return shorter


def _known(status: status_pb2.Status) -> Iterator[Message]:
    """The details that can be shortened; what the others say stands in the message and the metadata too."""
    for detail in status.details:
        for kind in _KINDS:
            if detail.Is(kind.DESCRIPTOR):
                yield kind.FromString(detail.value)


def _violations(status: status_pb2.Status) -> int:
    found = [detail for detail in _known(status) if isinstance(detail, error_details_pb2.BadRequest)]
    return sum(len(detail.field_violations) for detail in found)


def _shorten(detail: Message, bounds: _Bounds, *, violations: int) -> None:
    if isinstance(detail, error_details_pb2.ErrorInfo):
        metadata = {SHORTENED: "true", **detail.metadata}
        if violations > bounds.violations:
            metadata.setdefault(VIOLATIONS, str(violations))
        detail.metadata.clear()
        detail.metadata.update(_entries(metadata, bounds))
    elif isinstance(detail, error_details_pb2.BadRequest):
        del detail.field_violations[bounds.violations :]
        for violation in detail.field_violations:
            violation.field = cut(violation.field, bounds.text_bytes)
            violation.description = cut(violation.description, bounds.text_bytes)


def _entries(metadata: Mapping[str, str], bounds: _Bounds) -> Mapping[str, str]:
    """Those that clients act on, and as many of the others as there is room for, the shortest first."""
    others = [key for key in metadata if key not in _ALWAYS_KEPT and len(key.encode()) <= bounds.text_bytes]
    others.sort(key=lambda key: (len(metadata[key]), key))
    kept = [key for key in (*_ALWAYS_KEPT, *others[: bounds.entries]) if key in metadata]
    return {key: cut(metadata[key], bounds.text_bytes) for key in kept}
