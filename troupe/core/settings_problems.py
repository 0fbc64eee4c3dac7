"""What is wrong with a setting, on one line: its name, its value unless that is secret, its origin, what is allowed."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from troupe.core.masking import HIDDEN, holds_secret, masked, scrubbed
from troupe.core.nearest import suggestion
from troupe.core.settings_paths import field_at, fields_at, without_tags
from troupe.core.settings_sources import DELIMITER, config_path, variable_name
from troupe.core.terminal_text import terminal_line

_MAX_VALUE_CHARS: Final = 200
_A_LIST: Final = 'must be a list: values with commas between them, or JSON such as ["one", "two"]'
_A_TABLE: Final = 'must be a table: set its fields one by one, or give JSON such as {{"{field}": …}}'
_WORDS: Final = (
    ("Value error, ", ""),
    ("Input should", "must"),
    ("String should", "must"),
    ("Field required", "must be set"),
)
_LIST_ERRORS: Final = ("tuple_type", "list_type", "set_type", "frozen_set_type")
_TABLE_ERRORS: Final = ("model_type", "model_attributes_type", "dict_type", "mapping_type", "dataclass_type")


def explained(model: Any, error: ValidationError, given: Mapping[str, Any]) -> Iterator[str]:
    """One text a problem."""
    for detail in error.errors():
        yield _explained(model, detail, given)


def undecodable(settings: Any) -> Iterator[str]:
    """One text a setting whose text was bytes that are no UTF-8; paths may be."""
    for path, text in _texts(settings, (settings.section,)):
        if not _is_utf8(text):
            name, field = ".".join(path), field_at(type(settings), path[1:])
            yield f"setting `{name}` is not UTF-8 ({_origin(settings.section, path[1:], field, {})})"


def origin_of(section: str, path: Sequence[str], aliases: Sequence[str] = ()) -> str:
    """The variable that sets a field, else the file."""
    names = {name.upper(): name for name in os.environ}
    whole = variable_name(section, *path)
    for wanted in (*aliases, *(variable_name(section, *path[:length]) for length in range(len(path), 0, -1))):
        if wanted.upper() in names:
            return names[wanted.upper()]
    deeper = [name for upper, name in names.items() if upper.startswith(whole + DELIMITER)]
    return deeper[0] if deeper else str(config_path())


def aliases_of(field: FieldInfo | None) -> Sequence[str]:
    """Other names that a field goes by."""
    alias = field.validation_alias if field is not None else None
    return [str(choice) for choice in getattr(alias, "choices", [alias] if alias else [])]


def _explained(model: Any, detail: ErrorDetails, given: Mapping[str, Any]) -> str:
    path = [_field_name(model, str(part)) if at == 0 else str(part) for at, part in enumerate(detail["loc"])]
    path = without_tags(model, path)
    named = [part for part in path if not part.isdigit()]
    field = field_at(model, named)
    name = ".".join([model.section, *named]) + "".join(f"[{part}]" for part in path if part.isdigit())
    origin = _origin(model.section, named, field, given)
    given_value = detail["input"]
    texts = [
        text
        for text in (given_value if isinstance(given_value, list | tuple) else (given_value,))
        if isinstance(text, str)
    ]
    if not all(map(_is_utf8, texts)):
        return f"setting `{name}` is not UTF-8 ({origin})"
    shown = _shown(given_value, field)
    problem = _problem(model, detail, named)
    for text in texts:
        problem = scrubbed(problem, text)
    return terminal_line(" ".join(f"setting `{name}`{shown} {problem} ({origin})".split()))


def _texts(value: Any, path: Sequence[str]) -> Iterator[tuple[Sequence[str], str]]:
    """Every text in settings, with the path of its field."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, SecretStr):
        yield path, value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _texts(getattr(value, name), (*path, name))
    elif isinstance(value, tuple | list | frozenset):
        for inner in value:
            yield from _texts(inner, path)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield path, str(key)
            yield from _texts(inner, path)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _field_name(model: Any, part: str) -> str:
    """Pydantic names a field that has aliases by the first of them."""
    return next((name for name, field in model.model_fields.items() if part in aliases_of(field)), part)


def _origin(section: str, path: Sequence[str], field: FieldInfo | None, given: Mapping[str, Any]) -> str:
    if path and path[0] in given:
        return "given on the command line"
    found = origin_of(section, path, aliases_of(field)) if path else str(config_path())
    variable = variable_name(section, *path)
    if found == str(config_path()):
        return f"in {found!r}, or variable {variable}" if path else f"in {found!r}, or variables {variable}{DELIMITER}…"
    return f"variable {found}"


def _shown(value: object, field: FieldInfo | None) -> str:
    if isinstance(value, Mapping):  # it may have anything in it
        return ":"
    if field is not None and holds_secret(field.annotation):
        return f" = {HIDDEN}:"
    if isinstance(value, str):
        text = repr(masked(value))
    elif isinstance(value, int | float | None):
        text = repr(value)
    else:  # so may a list
        return ":"
    return f" = {text if len(text) <= _MAX_VALUE_CHARS else text[:_MAX_VALUE_CHARS] + '…'}:"


def _problem(model: Any, detail: ErrorDetails, path: Sequence[str]) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return f"there is no such setting; {suggestion(path[-1], fields_at(model, path[:-1]))}"
    if kind in _LIST_ERRORS:
        return _A_LIST
    if kind in _TABLE_ERRORS:
        return _A_TABLE.format(field=next(iter(fields_at(model, path)), "name"))
    if kind == "union_tag_invalid":
        context = detail["ctx"]
        return f"`{context['discriminator'].strip(chr(39))}` is {context['tag']!r}; known: {context['expected_tags']}"
    if kind == "string_unicode":
        return "is not UTF-8"
    problem = detail["msg"]
    for theirs, ours in _WORDS:
        problem = problem.replace(theirs, ours)
    return problem
