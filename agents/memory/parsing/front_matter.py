"""The block of settings before a Markdown text, in YAML or TOML."""

import re
import tomllib
from collections.abc import Mapping
from typing import Final

import yaml

_YAML: Final = re.compile(r"---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_TOML: Final = re.compile(r"\+\+\+[ \t]*\r?\n(.*?)^\+\+\+[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_MAX_LENGTH: Final = 64 << 10
_KEY: Final = re.compile(r"[\w.-]+")
_SETTING: Final = re.compile(r"(?:#.*|[\w.-]+[ \t]*:(?:[ \t].*)?|[ \t]+.*|-[ \t].*|)\r?")
_TITLE_LINE: Final = re.compile(
    r"^title[ \t]*:[ \t]*(?:\"(.*)\"|'(.*)'|(.*?))(?:[ \t]+#.*)?[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)


def front_matter(text: str) -> tuple[int, str]:
    """Where it ends, 0 if there is none, and the title that it states."""
    head = text[:_MAX_LENGTH]
    if (found := _YAML.match(head)) and (settings := _of_yaml(found[1])) is not None:
        return found.end(), _title(settings)
    if found := _TOML.match(head):
        try:
            return found.end(), _title(tomllib.loads(found[1]))
        except tomllib.TOMLDecodeError:
            return 0, ""
    return 0, ""


def _of_yaml(source: str) -> Mapping[str, object] | None:
    """The settings; None for what only stands between two rules."""
    try:
        settings = yaml.load(source, Loader=yaml.CBaseLoader)  # noqa: S506 - it makes nothing but strings
    except (yaml.YAMLError, RecursionError, ValueError):
        return _by_lines(source)
    if not isinstance(settings, dict) or not all(isinstance(key, str) and _KEY.fullmatch(key) for key in settings):
        return None
    return settings


def _by_lines(source: str) -> Mapping[str, object] | None:
    """Settings that YAML refuses, for instance for a second colon, as those who write them mean them."""
    lines = source.split("\n")
    if not all(_SETTING.fullmatch(line) for line in lines):
        return None
    title = _TITLE_LINE.search(source)
    return {"title": next((part for part in title.groups() if part), "") if title else ""}


def _title(settings: Mapping[str, object]) -> str:
    stated = next((value for key, value in settings.items() if key.lower() == "title"), "")
    return " ".join(str(stated).split()) if isinstance(stated, str | int | float) else ""
