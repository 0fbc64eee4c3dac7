"""Where settings come from: variables and the table of a TOML file."""

import json
import os
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Union

from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

CONFIG_VARIABLE: Final = "TROUPE_CONFIG"
PREFIX: Final = "TROUPE_"
DELIMITER: Final = "__"
_DEFAULT_FILE: Final = "troupe.toml"
_LISTS: Final = (tuple, list, set, frozenset)


class SettingsError(Exception):
    """A setting has a value that it cannot have; the message names it and its origin, on one line."""


class Variables(EnvSettingsSource):
    """Variables; a list is JSON, or its values with commas between.

    What is neither is left as it is: the check of the types says what is wanted.
    """

    def decode_complex_value(self, _field_name: str, field: Any, value: Any) -> Any:
        """The value that a text stands for."""
        try:
            decoded = json.loads(value)
        except (ValueError, RecursionError):
            decoded = value
        if _is_list(field) and not isinstance(decoded, list) and not value.lstrip().startswith(('["', "{")):
            text = decoded if isinstance(decoded, str) else value
            return [part.strip() for part in text.split(",") if part.strip()]
        return decoded


def config_path() -> Path:
    """The settings file."""
    return Path(os.environ.get(CONFIG_VARIABLE) or _DEFAULT_FILE)


def file_tables() -> Mapping[str, Any]:
    """The whole file; nothing where there is none and none is named.

    Raises:
        SettingsError: it cannot be read.
    """
    path = config_path()
    try:
        return tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        if not os.environ.get(CONFIG_VARIABLE):
            return {}
        problem = "which does not exist"
    except UnicodeDecodeError:
        problem = "which cannot be read: it is not UTF-8"
    except tomllib.TOMLDecodeError as error:
        problem = f"which cannot be read: it is no TOML: {error}"
    except OSError as error:
        problem = f"which cannot be read: {error.strerror}"
    except (ValueError, RecursionError) as error:
        problem = f"which cannot be read: {type(error).__name__}"
    raise SettingsError(f"the settings file is {str(path)!r}, {problem} (variable {CONFIG_VARIABLE} names another)")


def file_table(section: str) -> dict[str, Any]:
    """What the file says of one section.

    Raises:
        SettingsError: the file cannot be read, or has something else in its place.
    """
    table = file_tables().get(section, {})
    if not isinstance(table, dict):
        raise SettingsError(f"`{section}` in {str(config_path())!r} must be a table, written as [{section}]")
    return table


def variable_name(section: str, *path: str) -> str:
    """The variable of a field."""
    return PREFIX + DELIMITER.join((section, *path)).upper()


def _is_list(field: Any) -> bool:
    annotation = field.annotation if isinstance(field, FieldInfo) else field
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return any(map(_is_list, typing.get_args(annotation)))
    return (typing.get_origin(annotation) or annotation) in _LISTS
