"""What an analysis tells the writer besides its findings. Pure."""

import json
from dataclasses import asdict, dataclass
from typing import Final

from troupe.api.common.v1.content_pb2 import StepOutput

MEDIA_TYPE: Final = "application/vnd.troupe.analysis+json"


@dataclass(frozen=True, slots=True)
class Handover:
    """The question that was analyzed; `note` says why there was nothing to analyze, where there was nothing."""

    question: str = ""
    note: str = ""


def attach(output: StepOutput, handover: Handover) -> None:
    """Puts it into an output's payload."""
    output.data = json.dumps(asdict(handover), ensure_ascii=False).encode()
    output.data_media_type = MEDIA_TYPE


def read(output: StepOutput) -> Handover:
    """Reads it; empty when there is none, or one that cannot be read."""
    if output.data_media_type != MEDIA_TYPE:
        return Handover()
    try:
        fields = json.loads(output.data)
        return Handover(str(fields["question"]), str(fields["note"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return Handover()
