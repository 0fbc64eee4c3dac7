"""The schema of what Redis holds: its page, its rows of other releases, and the script that is made of it."""

import re
from pathlib import Path
from typing import Final, NamedTuple, get_type_hints

import msgpack
import pytest

from tests.support.lua import problems
from troupe.orchestrator.store import schema
from troupe.orchestrator.store.script import _with_rows, script_text

_PAGE: Final = (Path(__file__).parents[3] / "docs" / "storage.md").read_text()
_LINE: Final = re.compile(r"^\| `([^`]+)` \| (?:(\w+) \| )?\S.*\|$", re.MULTILINE)
_ROWS: Final = list(schema.ROWS.values())


def _section(heading: str) -> list[tuple[str, str]]:
    """The first two columns of the tables below a heading."""
    _, _, rest = _PAGE.partition(heading)
    return _LINE.findall(rest.partition("\n#")[0])


def test_the_page_has_every_key() -> None:
    keys = [(key.template, key.kind) for key in schema.Key]
    assert _section("\n## Keys\n") == keys + [(key.value[0], key.value[1]) for key in schema.DeploymentKey]


def test_the_page_has_every_field_of_a_task() -> None:
    fields = [*schema.TASK_FIELDS, *(f"<step>:{name}" for name in schema.STEP_FIELDS)]
    assert [name for name, _ in _section("\n## The hash of a task\n")] == fields


@pytest.mark.parametrize("kind", _ROWS)
def test_the_page_has_every_field_of_a_row(kind: type[NamedTuple]) -> None:
    assert _section(f"### `{kind.__name__}`") == [
        (name, type_.__name__) for name, type_ in get_type_hints(kind).items()
    ]


@pytest.mark.parametrize("kind", _ROWS)
def test_rows_of_an_earlier_release_have_the_defaults_of_what_came_since(kind: type[NamedTuple]) -> None:
    defaults = list(kind._field_defaults.values())
    for count in range(len(kind._fields) + 1):
        assert schema.unpack(kind, msgpack.packb(defaults[:count])) == tuple(defaults)


@pytest.mark.parametrize("kind", _ROWS)
def test_rows_of_a_later_release_are_read_as_far_as_they_are_known(kind: type[NamedTuple]) -> None:
    defaults = list(kind._field_defaults.values())
    assert schema.unpack(kind, msgpack.packb([*defaults, "what came later", 7])) == tuple(defaults)


def test_the_script_names_nothing_that_is_not_there_and_has_nothing_that_is_not_used() -> None:
    assert problems(script_text(), "F") == []


@pytest.mark.parametrize(
    ("lua", "found"),
    [
        ("local a = 1", ["`a` is never used"]),
        ("return b", ["`b` is not there"]),
        ("for _, v in ipairs(KEYS) do end", ["`v` is never used"]),
        ("if KEYS then local x = 1 return x end return x", ["`x` is not there"]),
        ("local F = {} function F.a(n) return n end", ["function `a` is never called"]),
        ("local F = {} return F.a(1)", ["function `a` is not there"]),
    ],
)
def test_the_linter_finds(lua: str, found: list[str]) -> None:
    assert problems(lua, "F") == found


def test_a_row_is_written_by_names_and_stored_by_place() -> None:
    text = "x = REFUSED{ value = f(1, { a, 'b, }' }), bound = 'it''s', }, T{}"
    assert _with_rows(text) == (
        "x = { '', 'it''s', f(1, { a, 'b, }' }) }, { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }"
    )


@pytest.mark.parametrize(("row", "problem"), [("T{ stat = 1 }", "stat"), ("T{ 1, 2 }", "names no field")])
def test_a_row_with_what_the_schema_does_not_have_is_refused(row: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        _with_rows(row)
