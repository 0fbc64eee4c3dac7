"""Filter expressions. Pure.

Values reach an expression as hexadecimal digests or through `quoted`: milvus-lite has no templates.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Final

_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def quoted(value: str) -> str:
    """A string literal."""
    return f'"{value.translate(_ESCAPES)}"'


def one_of(field: str, values: Iterable[str]) -> str:
    """The field has one of the values."""
    return f"{field} in [{', '.join(map(quoted, values))}]"


def equals(field: str, value: str) -> str:
    """The field has the value."""
    return f"{field} == {quoted(value)}"


def mark(key: str, value: str) -> str:
    """What a pair of metadata is found by."""
    return hashlib.blake2b(f"{key}\0{value}".encode(), digest_size=16).hexdigest()


def has_mark(key: str, value: str, *, as_text: bool) -> str:
    """A passage has the mark of a pair."""
    form = 'marks like "%{}%"' if as_text else 'array_contains(marks, "{}")'
    return form.format(mark(key, value))


def has_marks(metadata: Mapping[str, str], *, as_text: bool) -> str:
    """The metadata hold all of these pairs; empty when there are none."""
    return all_of(has_mark(key, value, as_text=as_text) for key, value in sorted(metadata.items()))


def none_of(field: str, values: Collection[str]) -> str:
    """The field has none of the values; empty when there are none."""
    return f"{field} not in [{', '.join(map(quoted, sorted(values)))}]" if values else ""


def below(field: str, start: str) -> str:
    """The field begins so: a comparison, for `like` has wildcards, and Milvus 2.3 takes few patterns."""
    end = start[:-1] + chr(ord(start[-1]) + 1)
    return f"({field} >= {quoted(start)} and {field} < {quoted(end)})"


def any_of(clauses: Iterable[str]) -> str:
    """The disjunction; empty clauses are left out."""
    return f"({' or '.join(clause for clause in clauses if clause)})"


def all_of(clauses: Iterable[str]) -> str:
    """The conjunction; empty clauses are left out."""
    return " and ".join(clause for clause in clauses if clause)
