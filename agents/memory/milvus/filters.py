"""Filter expressions. Pure.

Values reach an expression as hexadecimal digests or through `quoted`: milvus-lite has no templates.
"""

import hashlib
from collections.abc import Iterable, Mapping
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


def has_marks(metadata: Mapping[str, str]) -> str:
    """The metadata hold all of these pairs; empty when there are none."""
    return all_of(f"array_contains(marks, {quoted(mark(key, value))})" for key, value in sorted(metadata.items()))


def all_of(clauses: Iterable[str]) -> str:
    """The conjunction; empty clauses are left out."""
    return " and ".join(clause for clause in clauses if clause)
