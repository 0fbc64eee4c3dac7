"""Messages of `ExecuteMany`, read so that a call which cannot be read leaves the others of its message alone."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from troupe.api.agent.v1 import agent_service_pb2 as pb

Part = TypeVar("Part", pb.StepCall, pb.StepCallEvent)


class Unreadable(NamedTuple):
    """What is said about a call, and cannot be read."""

    call_id: int


class UnreadableFrameError(Exception):
    """A message that cannot be read, and does not say whose it is."""


def calls_of(frame: bytes) -> "Iterator[pb.StepCall | Unreadable]":
    """The calls of an encoded `ExecuteManyRequest`, in order.

    Raises:
        UnreadableFrameError: it cannot be told which calls it is about.
    """
    try:
        whole = pb.ExecuteManyRequest.FromString(frame)
    except DecodeError:
        yield from _apart(frame, pb.StepCall)
    else:
        yield from whole.calls


def events_of(frame: bytes) -> "Iterator[pb.StepCallEvent | Unreadable]":
    """The events of an encoded `ExecuteManyResponse`, in order.

    Raises:
        UnreadableFrameError: it cannot be told which calls it is about.
    """
    try:
        whole = pb.ExecuteManyResponse.FromString(frame)
    except DecodeError:
        yield from _apart(frame, pb.StepCallEvent)
    else:
        yield from whole.events


def _apart(frame: bytes, kind: type[Part]) -> "Iterator[Part | Unreadable]":
    """The parts one by one. All are looked at before the first is yielded: a message counts whole, or not at all."""
    try:
        encoded: list[bytes] = _Envelope.FromString(frame).parts
    except DecodeError:
        raise UnreadableFrameError from None
    parts: list[Part | Unreadable] = []
    for part in encoded:
        try:
            parts.append(kind.FromString(part))
        except DecodeError:
            parts.append(Unreadable(_call_id(part)))
    yield from parts


def _call_id(part: bytes) -> int:
    """The id of a call whose rest cannot be read: a part begins with it, unless its writer had it otherwise."""
    for length in (len(part), *range(_LONGEST_ID, 1, -1)):
        try:
            call_id: int = _Head.FromString(part[:length]).call_id
        except DecodeError:
            continue
        if call_id:
            return call_id
    raise UnreadableFrameError


def _messages() -> tuple[Any, Any]:
    """Both kinds of messages, and both kinds of their parts, as far as they say where a part ends and whose it is."""
    file = descriptor_pb2.FileDescriptorProto(name="troupe/agent/frames.proto", syntax="proto3")
    envelope, head = file.message_type.add(name="Envelope"), file.message_type.add(name="Head")
    field = descriptor_pb2.FieldDescriptorProto
    envelope.field.add(name="parts", number=1, type=field.TYPE_BYTES, label=field.LABEL_REPEATED)
    head.field.add(name="call_id", number=1, type=field.TYPE_INT64, label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = ("Envelope", "Head")
    found = [message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names]
    return found[0], found[1]


_Envelope, _Head = _messages()
# A tag of one byte and the longest varint.
_LONGEST_ID: Final = 11
