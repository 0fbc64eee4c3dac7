"""Every public method says what it does: in its class, or where it is promised."""

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client.registry import Collector

_ROOT: Final = Path(__file__).parents[2]
_PACKAGES: Final = ("agents", "gateway", "inference", "orchestrator", "troupe")
_ELSEWHERE: Final = frozenset([*dir(asyncio.Protocol), *dir(Collector)])
"""Methods that libraries promise."""

Method = ast.FunctionDef | ast.AsyncFunctionDef


def _methods() -> Iterator[tuple[str, ast.ClassDef, Method]]:
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            name = str(path.relative_to(_ROOT))
            if name.startswith("troupe/api/") or path.resolve() != path:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    for each in node.body:
                        if isinstance(each, Method) and not each.name.startswith("_"):
                            yield name, node, each


def _is_promise(kind: ast.ClassDef) -> bool:
    """Whether others keep what it says: a protocol, or a class with abstract methods."""
    return any(isinstance(base, ast.Name) and base.id in {"Protocol", "ABC"} for base in kind.bases) or any(
        isinstance(each, Method) and any("abstractmethod" in ast.dump(mark) for mark in each.decorator_list)
        for each in kind.body
    )


def test_every_public_method_is_documented_in_its_class_or_where_it_is_promised() -> None:
    methods = list(_methods())
    promised = {each.name for _, kind, each in methods if _is_promise(kind) and ast.get_docstring(each)}
    bases = {base for _, kind, _ in methods for base in map(ast.unparse, kind.bases)}
    promised |= {each.name for _, kind, each in methods if kind.name in bases and ast.get_docstring(each)}
    promised |= _ELSEWHERE
    silent = [(path, kind.name, each) for path, kind, each in methods if not ast.get_docstring(each)]
    lacking = [
        f"{path}:{each.lineno} {kind}.{each.name}"
        for path, kind, each in silent
        if each.name not in promised and not _is_of_a_contract(path, each)
    ]
    assert lacking == []


def _is_of_a_contract(path: str, method: Method) -> bool:
    """An rpc, which its `.proto` documents: their names alone begin with a capital."""
    return "/rpc/" in path and method.name[0].isupper()
