"""Which texts share a forward pass."""

from collections.abc import Sequence

MAX_BUCKET_TOKENS = 4096
MAX_PADDING = 0.25


def buckets(
    lengths: Sequence[int], *, max_tokens: int = MAX_BUCKET_TOKENS, max_padding: float = MAX_PADDING
) -> list[list[int]]:
    """Groups the indices of texts by length, shortest first.

    A group padded to its longest text has at most `max_tokens` tokens, of which at most the share `max_padding` is
    padding; a text that is longer than that stands alone.
    """
    groups: list[list[int]] = []
    used = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        length = lengths[index]
        used += length
        padded = length * (len(groups[-1]) + 1) if groups else 0
        if not groups or padded > max_tokens or padded - used > max_padding * padded:
            groups.append([])
            used = length
        groups[-1].append(index)
    return groups
