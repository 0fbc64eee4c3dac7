"""Numbers citations in the order of their first use. Pure."""

from collections.abc import Sequence

from troupe.agents.builtin.evidence.citing import place_of
from troupe.api.common.v1.content_pb2 import Citation, Finding


class Numbering:
    """The citations of one text; a place has one number however often it is cited."""

    def __init__(self) -> None:
        self._citations: dict[tuple[str, int, int], Citation] = {}

    @property
    def citations(self) -> Sequence[Citation]:
        """Those that were cited, by number."""
        return list(self._citations.values())

    def cited(self, finding: Finding) -> str:
        """The finding's statement with the numbers of its evidence behind it."""
        return f"{finding.statement} {self.marks(finding.evidence)}"

    def marks(self, evidence: Sequence[Citation]) -> str:
        """`[1][2]`."""
        return "".join(f"[{number}]" for number in dict.fromkeys(self._number(citation) for citation in evidence))

    def holds(self, finding: Finding) -> bool:
        """Whether the first place of the finding's evidence is cited already."""
        return place_of(finding.evidence[0]) in self._citations

    def _number(self, citation: Citation) -> int:
        place = place_of(citation)
        if place not in self._citations:
            numbered = Citation()
            numbered.CopyFrom(citation)
            numbered.number = len(self._citations) + 1
            self._citations[place] = numbered
        return self._citations[place].number
