"""What the parser of protobuf says, in the terms of JSON: clients know nothing of the language of this server."""

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from google.protobuf import json_format

from troupe.gateway.wire.dialect import ResponseError

WrittenT = TypeVar("WrittenT")

_NAMES: Final[Mapping[str, str]] = {
    "NoneType": "null",
    "bool": "a boolean",
    "bytes": "a string",
    "dict": "an object",
    "float": "a number",
    "int": "a number",
    "list": "a list",
    "str": "a string",
}
_MOST_CHARS: Final = 400  # parsers put whole values there
_NAME: Final = f"'({'|'.join(_NAMES)})'"
_TERMS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"Failed to parse None field: "), ""),  # a value of a map
    (re.compile(r"'\w+' object is not (?:iterable|subscriptable)"), "an object in braces is expected"),
    (re.compile(rf"{_NAME} object has no attribute '\w+'"), r"a string is expected, not '\1'"),
    (re.compile(rf"unhashable type: {_NAME}"), r"a string or a number is expected, not '\1'"),
    (re.compile(r"(?:int|float)\(\) argument must be [\w ,\-]*, not "), "a number is expected, not "),
    (
        re.compile(r"(?:expected|argument should be)(?: a)? [\w\- ]*string[\w\- ]*, (?:got|not) "),
        "a string is expected, not ",
    ),
    (re.compile(r"invalid literal for int\(\) with base 10: "), "a whole number is expected, not "),
    (re.compile(r"could not convert string to float: "), "a number is expected, not "),
    (
        re.compile(r"Map field (\S+) must be in a dict which is .*?(?= at |$)", re.DOTALL),
        "an object in braces is expected",
    ),
    (
        re.compile(r"repeated field (\S+) must be in \[\] which is .*?(?= at |$)", re.DOTALL),
        "a list in brackets is expected",
    ),
    (re.compile(r"Bool value (?:True|False) is not acceptable for \w+ field"), "a number is expected, not a boolean"),
    (re.compile(r"<class '(\w+)'>"), r"'\1'"),
    (re.compile(r"JSON value not a string: .*?(?= at |$)", re.DOTALL), "in JSON is a string"),
)


def in_json_terms(problem: str) -> str:
    """The problem without the names of classes, cut where it is long."""
    problem = problem[:_MOST_CHARS]
    for pattern, term in _TERMS:
        problem = pattern.sub(term, problem)
    return re.sub(_NAME, lambda match: _NAMES[match[1]], problem)


def written(write: Callable[[], WrittenT], name: str) -> WrittenT:
    """What a message of that name is in JSON.

    Raises:
        ResponseError: it holds what JSON has not, such as NaN in a `Struct`, or a time beyond the calendar.
    """
    try:
        return write()
    except (json_format.Error, TypeError, ValueError) as error:
        raise ResponseError(f"this {name} cannot be written in JSON: {in_json_terms(str(error))}") from None
