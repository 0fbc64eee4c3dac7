"""What the report says of its sources."""

from pathlib import Path

from troupe.agents.builtin.writer.report import source_line
from troupe.api.common.v1.content_pb2 import Citation


def cited(title: str, uri: str) -> str:
    return source_line(Citation(number=1, document_title=title, document_uri=uri, end_offset=3, quote="Yes"))


def test_a_file_is_named_briefly() -> None:
    uri = Path("/home/someone/a project/docs/architecture.md").as_uri()
    assert cited("Architecture", uri) == "[1] Architecture (docs/architecture.md), characters 0–3: “Yes”"
    assert cited(uri, uri) == "[1] docs/architecture.md, characters 0–3: “Yes”"


def test_other_uris_stay_as_they_are() -> None:
    assert cited("Guide", "https://example.org/a/b/guide") == (
        "[1] Guide (https://example.org/a/b/guide), characters 0–3: “Yes”"
    )
