"""JSON in place of protobuf, by the descriptors of methods.

https://protobuf.dev/programming-guides/json/
"""

from codecs import BOM_UTF8
from collections.abc import Callable
from typing import Any, Final, TypeVar

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, EncodeError, Message

from troupe.core.errors import TroupeError
from troupe.core.json_messages import read_json
from troupe.gateway.json_terms import in_json_terms, written
from troupe.gateway.methods import Method
from troupe.gateway.wire.dialect import RequestError, ResponseError
from troupe.gateway.wire.shown import shown
from troupe.gateway.wire.status import Code
from troupe.gateway.wire.status_details import StatusDetail

ReadT = TypeVar("ReadT")

# Reading JSON takes up to 20 µs a value, in which no other call goes on: a few hundred milliseconds of it, no more.
_MAX_OBJECTS: Final = 10_000
_MAX_VALUES: Final = 50_000


class JsonCodec:
    """Translates the messages of a method.

    Fields and enum values that are not known are refused on Troupe's own services, and left out on others, as other
    servers of Connect do.
    """

    def __init__(self, path: bytes, method: Method | None) -> None:
        self._path = path
        self._method = method

    def check(self) -> None:
        self._known()

    def request(self, message: bytes) -> bytes:
        method = self._known()
        message = message.removeprefix(BOM_UTF8)  # with which Windows begins texts
        _check_cost(message)
        if method.own:
            return refusing(lambda: read_json(message, method.request(), pool=method.pool)).SerializeToString()
        return _lenient(message, method)

    def response(self, message: bytes) -> bytes:
        method = self._known()
        name = method.response.DESCRIPTOR.full_name
        try:
            response = method.response.FromString(message)
        except DecodeError as error:
            raise ResponseError(f"the backend sent what is no {name}: {error}") from None
        return written(lambda: _to_json(response, method.pool).encode(), name)

    def _known(self) -> Method:
        if self._method is None:
            raise RequestError(
                f"the gateway cannot read JSON for {shown(self._path)}: it knows no such method; "
                "its setting TROUPE_GATEWAY__DESCRIPTORS names the files that describe methods",
                Code.UNIMPLEMENTED,
            )
        return self._method


def describe(detail: StatusDetail, pool: DescriptorPool) -> Any:
    """A detail of an error as JSON, None where its type is not known."""
    try:
        kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(detail.type_name))
        return json_format.MessageToDict(kind.FromString(detail.value), descriptor_pool=pool)
    except (KeyError, DecodeError, json_format.Error, TypeError, ValueError):
        return None


def refusing(read: Callable[[], ReadT]) -> ReadT:
    """What `read` gives; what is wrong with the request, in the gateway's terms.

    Raises:
        RequestError: it has a field or a value that is not known, or is no JSON.
    """
    try:
        return read()
    except TroupeError as error:
        named = [(violation.field, violation.description) for violation in error.violations if violation.field]
        raise RequestError(error.message, violations=named) from None


def _lenient(message: bytes, method: Method) -> bytes:
    parsed = method.request()
    name = parsed.DESCRIPTOR.full_name
    # The parser takes an empty list for an empty message; a few messages of protobuf's own are no objects in JSON.
    if not message.lstrip().startswith(b"{") and not name.startswith("google.protobuf."):
        raise RequestError(f"this is no {name} in JSON: an object in braces is expected")
    try:
        json_format.Parse(message, parsed, ignore_unknown_fields=True, descriptor_pool=method.pool)
        return parsed.SerializeToString()
    except UnicodeDecodeError as error:
        raise RequestError(f"the JSON is not UTF-8: {error.reason} at byte {error.start}") from None
    except (json_format.ParseError, EncodeError) as error:
        problem = in_json_terms(str(error).rstrip("."))
        raise RequestError(f"this is no {name} in JSON: {problem}") from None


def _check_cost(message: bytes) -> None:
    """Counts what stands between values; what stands in texts counts too, which is cheaper than to tell it apart."""
    if message.count(b"{") > _MAX_OBJECTS or message.count(b",") > _MAX_VALUES:
        raise RequestError(
            f"a message in JSON may have {_MAX_OBJECTS} opening braces and {_MAX_VALUES} commas; this one has more: "
            "send it as protobuf",
            Code.RESOURCE_EXHAUSTED,
        )


def _to_json(message: Message, pool: DescriptorPool) -> str:
    return json_format.MessageToJson(message, indent=None, ensure_ascii=False, descriptor_pool=pool)
