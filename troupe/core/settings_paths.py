"""Which field of settings a path of names means, through tables of many and through unions of tables too."""

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def field_at(model: type[BaseModel], path: Sequence[str]) -> FieldInfo | None:
    """The field behind names; None where there is none. A value inside a field of no known form is of that field."""
    field: FieldInfo | None = None
    inside: Any = model
    for name in path:
        models, value = _models(inside), _value(inside)
        if models:
            field = next((found for member in models if (found := member.model_fields.get(name))), None)
            if field is None:
                return None
        elif value is not None:
            field = FieldInfo.from_annotation(value)
        else:
            return field
        inside = field.annotation
    return field


def fields_at(model: type[BaseModel], path: Sequence[str]) -> Sequence[str]:
    """The names that a table has fields by; none where any name will do."""
    field = field_at(model, path)
    members = _models(field.annotation) if field is not None else () if path else (model,)
    return list(dict.fromkeys(name for member in members for name in member.model_fields))


def without_tags(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The path of a problem as a person writes it.

    Pydantic puts the kind of a table in a union into it, too, and a mark behind a name that is wrong itself.
    """
    names: list[str] = []
    for part in path:
        if part == "[key]":
            continue
        field = field_at(model, names)
        members = _models(field.annotation) if field is not None else ()
        if len(members) < 2 or not any(part in _tags(member) for member in members):
            names.append(part)
    return names


def _models(annotation: Any) -> Sequence[type[BaseModel]]:
    """The models that a value of this type may be."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (annotation,)
    if typing.get_origin(annotation) is Annotated:
        return _models(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return [model for member in typing.get_args(annotation) for model in _models(member)]
    return ()


def _value(annotation: Any) -> Any:
    """The type of a table's values, where any name will do; None for what is no such table."""
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return next((value for member in typing.get_args(annotation) if (value := _value(member)) is not None), None)
    origin = typing.get_origin(annotation)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return typing.get_args(annotation)[1]
    return None


def _tags(model: type[BaseModel]) -> Sequence[Any]:
    """The values that tell a model from the others of its union."""
    return [
        tag
        for field in model.model_fields.values()
        if typing.get_origin(field.annotation) is Literal
        for tag in typing.get_args(field.annotation)
    ]
