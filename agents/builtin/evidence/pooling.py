"""Passages of several searches as one list. Pure."""

import itertools
from collections.abc import Sequence

from troupe.api.common.v1.content_pb2 import Passage


def pool(found: Sequence[Sequence[Passage]], *, limit: int) -> list[Passage]:
    """The best of each search in turn, then the second best, without what came before."""
    pooled: list[Passage] = []
    seen: set[str] = set()
    for passage in itertools.chain.from_iterable(itertools.zip_longest(*found)):
        if passage is None:
            continue
        text = " ".join(passage.text.split()).casefold()
        if passage.passage_id not in seen and text not in seen:
            seen.update((passage.passage_id, text))
            pooled.append(passage)
    return pooled[:limit]
