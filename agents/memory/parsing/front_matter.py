"""What a Markdown text says about itself before it begins: a block of YAML, TOML or JSON, or lines of metadata."""

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Final

import yaml

# What was matched is not tried otherwise: a file that begins with many blank lines would take for ever.
_LINE_END: Final = r"[ \t]*+(?:\r\n?+|\n)"
_BLOCK: Final = rf"(?:{_LINE_END})*+{{begin}}{_LINE_END}((?:.*?[\r\n])??)(?<=[\r\n]){{end}}[ \t]*(?:\r\n?|\n|\Z)"
_YAML: Final = re.compile(_BLOCK.format(begin=r"---[ \t]*+(?:ya?ml)?", end=r"(?:---|\.\.\.)"), re.DOTALL)
_TOML: Final = re.compile(
    "|".join(
        _BLOCK.format(begin=begin, end=end) for begin, end in ((r"\+\+\+", r"\+\+\+"), (r"---[ \t]*+toml", "---"))
    ),
    re.DOTALL,
)
_JSON: Final = re.compile(
    "|".join(_BLOCK.format(begin=begin, end=end) for begin, end in ((";;;", ";;;"), (r"---[ \t]*+json", "---"))),
    re.DOTALL,
)
# Pandoc's and MultiMarkdown's: what reads neither shows it, so that it stays in the text.
_PERCENT: Final = re.compile(r"%[ \t]+(.+(?:\n[ \t]+\S.*)*)")
_METADATA: Final = re.compile(r"(?:[A-Za-z][\w -]*:[ \t]+\S.*(?:\n[ \t]+\S.*)*(?:\n|\Z))+(?=[ \t]*(?:\n|\Z))")
_MAX_LENGTH: Final = 64 << 10
_KEY: Final = re.compile(r"[\w.-]+")
_SETTING: Final = re.compile(r"(?:#.*|[\w.-]+[ \t]*:(?:[ \t].*)?|[ \t]+.*|-[ \t].*|)")
_TITLE_LINE: Final = re.compile(
    r"^title[ \t]*:[ \t]*(?:\"(.*)\"|'(.*)'|(.*?))(?:[ \t]+#.*)?[ \t]*$", re.IGNORECASE | re.MULTILINE
)


def front_matter(text: str) -> tuple[int, str]:
    """Where it ends, 0 if there is none that is left out, and the title that it states."""
    head = text[:_MAX_LENGTH]
    for form, read in ((_YAML, _of_yaml), (_TOML, _of_toml), (_JSON, _of_json)):
        if (found := form.match(head)) and (settings := read(_unix(found[found.lastindex or 0]))) is not None:
            return found.end(), _title(settings)
    return 0, _stated(_unix(head).lstrip("\n"))


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _stated(head: str) -> str:
    """The title in lines of metadata that are part of the text."""
    if found := _PERCENT.match(head):
        return " ".join(found[1].split())
    found = _METADATA.match(head)
    title = found and re.search(r"^title:[ \t]+(.*(?:\n[ \t]+\S.*)*)", found[0], re.IGNORECASE | re.MULTILINE)
    return " ".join(title[1].split()) if title else ""


def _of_toml(source: str) -> Mapping[str, object] | None:
    try:
        return tomllib.loads(source)
    except tomllib.TOMLDecodeError:
        return None


def _of_json(source: str) -> Mapping[str, object] | None:
    """The settings, with or without the braces around them."""
    for form in (source, f"{{{source}}}"):
        try:
            settings = json.loads(form)
        except (ValueError, RecursionError):
            continue
        return settings if isinstance(settings, dict) else None
    return None


def _of_yaml(source: str) -> Mapping[str, object] | None:
    """The settings; None for what only stands between two rules, which a blank line follows."""
    if source.startswith("\n"):
        return None
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
