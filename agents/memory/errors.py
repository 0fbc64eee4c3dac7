"""What can be wrong with a document."""

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError

UNREADABLE = ErrorReason.ERROR_REASON_UNREADABLE_DOCUMENT
TOO_LARGE = ErrorReason.ERROR_REASON_DOCUMENT_TOO_LARGE


def unreadable(uri: str, problem: str) -> TroupeError:
    """The document cannot be read as what it claims to be."""
    return TroupeError(UNREADABLE, f"document {uri!r} cannot be read: {problem}", metadata={"uri": uri})


def too_large(uri: str, size_bytes: int, limit_bytes: int) -> TroupeError:
    """The document is over the limit."""
    return TroupeError(
        TOO_LARGE,
        f"document {uri!r} has {size_bytes} bytes, more than the {limit_bytes} that are taken; split it,"
        " or raise the setting `agents.memory.max_document_bytes`",
        metadata={"uri": uri},
    )


def is_of_document(error: TroupeError) -> bool:
    """Whether the error concerns one document only."""
    return error.reason in (UNREADABLE, TOO_LARGE)
