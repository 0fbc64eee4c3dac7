"""Arguments come as bytes: which of them must be text."""

import os
from pathlib import Path
from typing import Any

import typer

from troupe.cli.streams import InputError


class PathText(str):
    """A text that may be a path, and so hold any bytes."""

    __slots__ = ()


def path_or_name(text: str) -> str:
    """Reads an argument that is a name, an id, or a path."""
    return PathText(text)


def some_path(text: str) -> Path:
    """Reads a path. An empty one is a variable that is not set, and would mean the working directory.

    Raises:
        typer.BadParameter: it is empty.
    """
    if not text:
        raise typer.BadParameter("it is empty; name a file or a folder, such as `.`")
    return Path(text)


def take_text(parameter: Any) -> None:
    """Makes a parameter of a command refuse what is no text; paths may hold any bytes."""
    given = parameter.callback

    def checked(context: Any, parameter: Any, value: Any) -> Any:
        if type(value) is str:
            value = _text(value, parameter)
        elif isinstance(value, list | tuple):
            value = [_text(each, parameter) if type(each) is str else each for each in value]
        return given(context, parameter, value) if given is not None else value

    parameter.callback = checked


def _text(value: str, parameter: Any) -> str:
    """The text that an argument's bytes stand for: in a locale that knows ASCII only Python could not say.

    Raises:
        InputError: they stand for none.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        try:
            return os.fsencode(value).decode()
        except UnicodeDecodeError:
            raise InputError(f"{_name_of(parameter)} is not UTF-8") from None
    return value


def _name_of(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"the {parameter.name.replace('_', ' ')}"
    return f"the value of {parameter.opts[0]}"
