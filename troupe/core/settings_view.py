"""Settings as `troupe config show` prints them: each value with its origin, secrets masked.

Each package of a service tells its own by `python -m <package>.settings`, one JSON object a section.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic_core import to_jsonable_python

from troupe.core.masking import HIDDEN, holds_secret, masked_all
from troupe.core.nearest import suggestion
from troupe.core.settings import ServiceSettings
from troupe.core.settings_problems import aliases_of, origin_of
from troupe.core.settings_sources import (
    CONFIG_VARIABLE,
    DELIMITER,
    PREFIX,
    SettingsError,
    Variables,
    config_path,
    file_table,
    variable_name,
)

DEFAULT: Final = "default"
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Value:
    """A setting. `origin` is a variable's name, a file's path or `default`."""

    setting: str
    value: Any
    origin: str
    variable: str


@dataclass(frozen=True, slots=True)
class Section:
    """The settings of one service, and what keeps them from being used."""

    section: str
    values: Sequence[Value]
    problem: str


def section_of(model: type[ServiceSettings]) -> Section:
    """What a process with these settings would read here and now."""
    problem = ""
    own: Any = model.model_construct()
    valid, table = False, {}
    try:
        table = file_table(model.section)
        own, valid = model.load(), True
    except SettingsError as error:
        problem = str(error)
    layers = _Layers(own, valid, Variables(model)(), table)
    return Section(model.section, list(_values(model, (model.section,), layers)), problem)


def print_sections(*models: type[ServiceSettings]) -> None:
    """Answers `troupe config show`."""
    for model in models:
        sys.stdout.write(json.dumps(asdict(section_of(model))) + "\n")


def unknown_variables(values: Sequence[Value], *, sections: Sequence[str] = ()) -> Iterator[str]:
    """What to say of each variable that looks like a setting and is none; of some sections, or of all."""
    known = {value.variable for value in values} | {CONFIG_VARIABLE}
    prefixes = tuple(variable_name(section) + DELIMITER for section in sections) or (PREFIX,)
    for name in sorted(os.environ):
        upper = name.upper()
        if upper.startswith(prefixes) and not any(_covers(variable, upper) for variable in known):
            yield f"variable {name} is no setting; {suggestion(upper, sorted(known))}"


def _covers(variable: str, name: str) -> bool:
    """Whether a variable is a setting, a part of one or a table of some."""
    return variable == name or name.startswith(variable + DELIMITER) or variable.startswith(name + DELIMITER)


@dataclass(frozen=True, slots=True)
class _Layers:
    """A model, or a part of it, as it was loaded or else as its defaults are, with what was given for it."""

    own: Any
    valid: bool
    variables: Any
    table: Any

    def inside(self, names: Sequence[str]) -> "_Layers":
        """The part behind a field's names."""
        own = getattr(self.own, names[-1])
        return _Layers(own, self.valid, _get(self.variables, names), _get(self.table, names))

    @property
    def value(self) -> Any:
        """What counts; as it was given where it could not be loaded."""
        given = () if self.valid else (self.variables, self.table)
        return next((value for value in given if value is not _ABSENT), self.own)


def _values(model: type[BaseModel], path: tuple[str, ...], layers: _Layers) -> Iterator[Value]:
    """The leaves, in the order of their definition."""
    for name, field in model.model_fields.items():
        place, aliases = (*path, name), aliases_of(field)
        part, inside = layers.inside((*aliases, name)), field.annotation
        if isinstance(inside, type) and issubclass(inside, BaseModel):
            yield from _values(inside, place, part)
            continue
        origin = DEFAULT
        if part.variables is not _ABSENT:
            origin = origin_of(place[0], place[1:], aliases)
        elif part.table is not _ABSENT:
            origin = str(config_path())
        secret = holds_secret(inside)
        shown = _masked_secret(part.value) if secret else masked_all(to_jsonable_python(part.value, fallback=str))
        yield Value(".".join(place), shown, origin, variable_name(*place))


def _get(values: Any, names: Sequence[str]) -> Any:
    found = (values[name] for name in names if isinstance(values, dict) and name in values)
    return next(found, _ABSENT)


def _masked_secret(value: Any) -> Any:
    """Whether there is one, and how many, may be seen."""
    if isinstance(value, list | tuple | set | frozenset):
        return [HIDDEN for _ in value]
    plain = value.get_secret_value() if isinstance(value, SecretStr | SecretBytes) else value
    return HIDDEN if plain else plain
