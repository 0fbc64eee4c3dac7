"""The three collections: what they hold, and how they come to be.

Any number of processes may prepare them at once; a process that stops half-way is made up for by the next one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from troupe.agents.memory.milvus.filters import one_of

MAX_TEXT_BYTES: Final = 65_535
MAX_URI_BYTES: Final = 4 * 1024
MAX_GAP_BYTES: Final = 1024
_MAX_SOURCE_BYTES: Final = 16 * 1024
_MAX_MARKS: Final = 64
_MARK_LENGTH: Final = 32
_NOT_INDEXED_DIMENSIONS: Final = 2
_HYBRID: Final = "bm25"
_MODEL_KEY: Final = "/model"  # no project is empty, so no document has this key


@dataclass(frozen=True, slots=True)
class Layout:
    """How a collection of passages was made. Without `hybrid`, its Milvus has no BM25: search is dense only.

    `lite` is milvus-lite, which indexes nothing until it is told to. With `marks_as_text` the marks of a passage are
    one text, in which milvus-lite finds a mark at once; it looks through arrays row by row, in Python.
    """

    model: str
    dimensions: int
    hybrid: bool
    lite: bool = False
    marks_as_text: bool = False


def is_lite(server_version: str) -> bool:
    """Whether it is milvus-lite; a small build of Milvus itself also says `lite`, at the end."""
    return server_version.startswith("milvus_lite")


def has_bm25(server_version: str) -> bool:
    """Whether a Milvus has the BM25 function: milvus-lite, and Milvus from 2.5 on."""
    version = re.search(r"(\d+)\.(\d+)", server_version)
    return is_lite(server_version) or version is None or (int(version[1]), int(version[2])) >= (2, 5)


def read_layout(client: Any, collection: str, model: str, timeout: float) -> Layout:
    """The layout of a collection of passages."""
    from pymilvus import DataType  # noqa: PLC0415 - takes seconds

    lite = is_lite(client.get_server_version(timeout=timeout))
    description = client.describe_collection(collection, timeout=timeout)
    fields = {field["name"]: field for field in description["fields"]}
    as_text = fields["marks"]["type"] == DataType.VARCHAR
    dimensions = int(fields["vector"]["params"]["dim"])
    return Layout(model, dimensions, hybrid="words" in fields, lite=lite, marks_as_text=as_text)


def read_model(client: Any, documents: str, timeout: float) -> str | None:
    """The model that the passages are embedded by, from a record of its own: milvus-lite keeps no descriptions."""
    clause = one_of("key", [_MODEL_KEY])
    rows = client.query(documents, filter=clause, output_fields=["title"], limit=1, timeout=timeout)
    return rows[0]["title"] if rows else None


def write_model(client: Any, documents: str, model: str, timeout: float) -> None:
    """Notes the model that the passages are embedded by."""
    texts = {**dict.fromkeys(_DOCUMENT_TEXTS, ""), "title": model}
    numbers = dict.fromkeys(_DOCUMENT_NUMBERS, 0)
    row = {**texts, **numbers, "key": _MODEL_KEY, "project": "", "metadata": {}, "unused": UNUSED_VECTOR}
    client.upsert(documents, [row], timeout=timeout)


def create_passages(client: Any, collection: str, layout: Layout, consistency: str, timeout: float) -> None:
    """Creates the collection of passages, without indexes."""
    import pymilvus  # noqa: PLC0415 - takes seconds
    from pymilvus import DataType  # noqa: PLC0415

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    # Milvus 2.3 puts upserted rows into a wrong partition, where a filter by project never looks.
    partitioned = layout.hybrid
    # Keys can be told from a document's record, so that passages are read and deleted without a search for them.
    schema.add_field("key", DataType.VARCHAR, max_length=128, is_primary=True)
    schema.add_field("project", DataType.VARCHAR, max_length=64, is_partition_key=partitioned)
    for name, max_length in _PASSAGE_TEXTS.items():
        schema.add_field(name, DataType.VARCHAR, max_length=max_length)
    schema.add_field("number", DataType.INT64)
    schema.add_field("start_offset", DataType.INT64)
    schema.add_field("end_offset", DataType.INT64)
    schema.add_field("metadata", DataType.JSON)
    if layout.marks_as_text:
        schema.add_field("marks", DataType.VARCHAR, max_length=_MAX_MARKS * (_MARK_LENGTH + 1))
    else:
        array = {"element_type": DataType.VARCHAR, "max_capacity": _MAX_MARKS, "max_length": _MARK_LENGTH}
        schema.add_field("marks", DataType.ARRAY, **array)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=layout.dimensions)
    if layout.hybrid:
        analyzer = {"enable_analyzer": True, "analyzer_params": {"tokenizer": "standard"}}
        schema.add_field("terms", DataType.VARCHAR, max_length=MAX_TEXT_BYTES, **analyzer)
        schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
        schema.add_function(
            pymilvus.Function(
                name=_HYBRID,
                function_type=pymilvus.FunctionType.BM25,
                input_field_names=["terms"],
                output_field_names=["words"],
            )
        )
    client.create_collection(collection, schema=schema, consistency_level=consistency, timeout=timeout)


def create_documents(client: Any, collection: str, timeout: float, *, partitioned: bool) -> None:
    """Creates the collection of documents' records, without indexes."""
    from pymilvus import DataType  # noqa: PLC0415 - takes seconds

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    # The primary key sorts by project, then by URI: pages of documents follow it.
    schema.add_field("key", DataType.VARCHAR, max_length=MAX_URI_BYTES + 128, is_primary=True)
    schema.add_field("project", DataType.VARCHAR, max_length=64, is_partition_key=partitioned)
    for name, max_length in _DOCUMENT_TEXTS.items():
        schema.add_field(name, DataType.VARCHAR, max_length=max_length)
    for name in _DOCUMENT_NUMBERS:
        schema.add_field(name, DataType.INT64)
    schema.add_field("metadata", DataType.JSON)
    # Before 2.6, Milvus takes no collection without a vector.
    schema.add_field("unused", DataType.FLOAT_VECTOR, dim=_NOT_INDEXED_DIMENSIONS)
    client.create_collection(collection, schema=schema, consistency_level="Strong", timeout=timeout)


def create_sources(client: Any, collection: str, timeout: float) -> None:
    """Creates the collection of what sources hold, without indexes."""
    from pymilvus import DataType  # noqa: PLC0415 - takes seconds

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    # The primary key sorts by project, then by source, then by URI: pages of documents follow it.
    schema.add_field("key", DataType.VARCHAR, max_length=MAX_URI_BYTES + 128, is_primary=True)
    for name, max_length in _SOURCE_TEXTS.items():
        schema.add_field(name, DataType.VARCHAR, max_length=max_length)
    schema.add_field("outside", DataType.INT64)
    schema.add_field("unused", DataType.FLOAT_VECTOR, dim=_NOT_INDEXED_DIMENSIONS)
    client.create_collection(collection, schema=schema, consistency_level="Strong", timeout=timeout)


def make_searchable(client: Any, collection: str, timeout: float) -> None:
    """Builds the indexes that are missing, also in place of those that earlier versions made, and loads the rows."""
    indexes = _LITE_INDEXES if is_lite(client.get_server_version(timeout=timeout)) else _INDEXES
    fields = {field["name"] for field in client.describe_collection(collection, timeout=timeout)["fields"]}
    built: set[str] = set()
    for name in client.list_indexes(collection, timeout=timeout):
        index = client.describe_index(collection, name, timeout=timeout)
        if index["field_name"] == "vector" and indexes is _LITE_INDEXES and index["index_type"] == "AUTOINDEX":
            client.release_collection(collection, timeout=timeout)
            client.drop_index(collection, name, timeout=timeout)
        else:
            built.add(index["field_name"])
    for field in sorted(fields & indexes.keys() - built):
        params = client.prepare_index_params()
        params.add_index(field_name=field, **indexes[field])
        client.create_index(collection, params, timeout=timeout)
    client.load_collection(collection, timeout=timeout)


_PASSAGE_TEXTS: Final[Mapping[str, int]] = {
    "passage_id": 64,
    "document_id": 64,
    "version": 64,
    "title": 2_100,
    "uri": MAX_URI_BYTES,
    "heading": 2_100,
    "gap": MAX_GAP_BYTES,
    "text": MAX_TEXT_BYTES,
}
_DOCUMENT_TEXTS: Final[Mapping[str, int]] = {
    "document_id": 64,
    "uri": MAX_URI_BYTES,
    "title": 2_100,
    "media_type": 64,
    "content_sha256": 64,
    "version": 64,
    "other_version": 64,
}
_DOCUMENT_NUMBERS: Final = ("passages", "text_length", "ingest_time_ms", "other_passages")
_SOURCE_TEXTS: Final[Mapping[str, int]] = {
    "project": 64,
    "source": _MAX_SOURCE_BYTES,
    "source_mark": _MARK_LENGTH,
    "document_id": 64,
    "uri": MAX_URI_BYTES,
}
_INDEXES: Final[Mapping[str, Mapping[str, Any]]] = {
    "vector": {"index_type": "AUTOINDEX", "metric_type": "COSINE"},
    # k1 and b as in Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009.
    "words": {
        "index_type": "SPARSE_INVERTED_INDEX",
        "metric_type": "BM25",
        "params": {"bm25_k1": 1.2, "bm25_b": 0.75},
    },
    "unused": {"index_type": "FLAT", "metric_type": "L2"},
}
# Its graph (HNSW, what it takes for AUTOINDEX) loses most of what a narrow filter lets through, and costs much of the
# time of an ingest. Every list of an IVF looked at is exact, and no slower than the rest of its search.
_LITE_INDEXES: Final = {**_INDEXES, "vector": {"index_type": "IVF_FLAT", "metric_type": "COSINE"}}
ALL_LISTS: Final = {"nprobe": 1 << 20}
UNUSED_VECTOR: Final = [0.0] * _NOT_INDEXED_DIMENSIONS
