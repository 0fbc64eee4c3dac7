"""Reads Lua as a linter does: what is named and not there, and what is there and not named."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from luaparser import ast, astnodes

_GIVEN: Final = frozenset(
    (
        "ARGV",
        "KEYS",
        "cmsgpack",
        "ipairs",
        "math",
        "pairs",
        "pcall",
        "redis",
        "string",
        "table",
        "tonumber",
        "tostring",
        "type",
        "unpack",
    )
)
"""What Redis gives a script, as far as ours uses it."""


@dataclass(slots=True)
class _Local:
    name: str
    used: bool = False


class _Reader:
    """Follows the scopes of a chunk."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._scopes: list[dict[str, _Local]] = []

    def read(self, node: Any) -> None:
        match node:
            case astnodes.Name():
                self._use(node.id)
            case astnodes.Index(notation=astnodes.IndexNotation.DOT):
                self.read(node.value)
            case astnodes.Field():
                if node.between_brackets:
                    self.read(node.key)
                self.read(node.value)
            case astnodes.LocalAssign():
                self._read_all(node.values)
                self._declare(node.targets)
            case astnodes.LocalFunction():
                self._declare([node.name])
                self._scope([*node.args], node.body)
            case astnodes.Function():
                self.read(node.name)
                self._scope(node.args, node.body)
            case astnodes.AnonymousFunction():
                self._scope(node.args, node.body)
            case astnodes.Forin():
                self._read_all(node.iter)
                self._scope(node.targets, node.body)
            case astnodes.Fornum():
                self._read_all([node.start, node.stop, node.step])
                self._scope([node.target], node.body)
            case astnodes.Block():
                self._scope([], node.body)
            case _:
                self._read_all(_children(node))

    def _read_all(self, nodes: Any) -> None:
        for node in nodes if isinstance(nodes, list) else [nodes]:
            if isinstance(node, astnodes.Node):
                self.read(node)

    def _scope(self, names: list[Any], body: Any) -> None:
        self._scopes.append({})
        self._declare(names)
        self._read_all(body.body if isinstance(body, astnodes.Block) else body)
        for local in self._scopes.pop().values():
            if not local.used and local.name != "_":
                self.problems.append(f"`{local.name}` is never used")

    def _declare(self, names: list[Any]) -> None:
        for name in names:
            if isinstance(name, astnodes.Name):
                self._scopes[-1][name.id] = _Local(name.id)

    def _use(self, name: str) -> None:
        for scope in reversed(self._scopes):
            if name in scope:
                scope[name].used = True
                return
        if name not in _GIVEN:
            self.problems.append(f"`{name}` is not there")


def problems(text: str, functions: str) -> list[str]:
    """What is wrong with the names of a script whose functions are in the table `functions`."""
    tree = ast.parse(text)
    reader = _Reader()
    reader.read(tree.body)
    nodes = list(ast.walk(tree))
    made = {node.name.idx.id for node in nodes if isinstance(node, astnodes.Function)}
    names = [node.name for node in nodes if isinstance(node, astnodes.Function)]
    named = {
        node.idx.id
        for node in nodes
        if isinstance(node, astnodes.Index)
        and isinstance(node.value, astnodes.Name)
        and node.value.id == functions
        and not any(node is name for name in names)
    }
    own = {
        node.name.idx.id for node in nodes if isinstance(node, astnodes.Function) and node.name.value.id == functions
    }
    missing = [f"function `{name}` is not there" for name in sorted(named - made)]
    unused = [f"function `{name}` is never called" for name in sorted(own - named)]
    return reader.problems + missing + unused


def _children(node: Any) -> list[Any]:
    return list(_walk_values(node))


def _walk_values(node: Any) -> Iterator[Any]:
    for name, value in vars(node).items():
        if name.startswith("_") or name == "comments":
            continue
        yield from value if isinstance(value, list) else [value]
