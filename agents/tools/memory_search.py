"""The tool `memory_search`."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from google.protobuf.struct_pb2 import Struct

from troupe.agents.tools.tool import ToolResult, ToolScope
from troupe.api.common.v1.content_pb2 import Passage
from troupe.api.inference.v1.inference_service_pb2 import ToolDefinition
from troupe.core.errors import invalid
from troupe.core.file_urls import brief

NAME: Final = "memory_search"
_DEFAULT_LIMIT: Final = 8
_MAX_LIMIT: Final = 50
_MAX_QUERY: Final = 4_000

_PARAMETERS: Final = Struct()
_PARAMETERS.update(
    {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What to look for: a question or its key terms."},
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": _MAX_LIMIT,
                "description": "Most passages to return.",
            },
        },
        "required": ["query"],
    }
)


class MemorySearch(Protocol):
    """Finds passages of the memory."""

    async def search(self, project: str, query: str, *, limit: int, metadata: Mapping[str, str]) -> Sequence[Passage]:
        """Passages of documents that have all of `metadata`, best first.

        Raises:
            TroupeError: MEMORY_UNAVAILABLE, MODEL_UNAVAILABLE.
        """


class MemorySearchTool:
    """Searches the documents of the task's project."""

    definition: Final = ToolDefinition(
        name=NAME,
        description=(
            "Searches the ingested documents, by meaning and by words, and returns the passages that bear on the"
            " query, best first. Use it once for each thing you need to know; other words may find other passages."
        ),
        parameters=_PARAMETERS,
    )

    def __init__(self, *, memory: MemorySearch) -> None:
        self._memory = memory

    async def call(self, arguments: Mapping[str, object], scope: ToolScope) -> ToolResult:
        """Searches."""
        query, limit = _query(arguments), _limit(arguments)
        passages = await self._memory.search(scope.project, query, limit=limit, metadata=scope.memory_filter)
        return ToolResult(_for_model(passages), _summary(passages), passages)


def _query(arguments: Mapping[str, object]) -> str:
    query = arguments.get("query")
    if not isinstance(query, str) or not query.strip():
        raise invalid("arguments.query", "must be a text that says what to look for")
    return query.strip()[:_MAX_QUERY]


def _limit(arguments: Mapping[str, object]) -> int:
    limit = arguments.get("limit", _DEFAULT_LIMIT)
    if not isinstance(limit, int | float) or isinstance(limit, bool) or not 1 <= limit <= _MAX_LIMIT:
        raise invalid("arguments.limit", f"must be a number from 1 to {_MAX_LIMIT}, not {limit!r}")
    return int(limit)


def _for_model(passages: Sequence[Passage]) -> str:
    if not passages:
        return "Nothing was found."
    return "\n\n".join(f"{brief(p.document_title or p.document_uri)}: {p.heading}\n{p.text}" for p in passages)


def _summary(passages: Sequence[Passage]) -> str:
    documents = len({passage.document_id for passage in passages})
    return f"{_count(len(passages), 'passage')} of {_count(documents, 'document')}" if passages else "nothing found"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
