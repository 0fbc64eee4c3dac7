from hypothesis import given
from hypothesis import strategies as st

from troupe.inference.models.minilm.buckets import buckets


@given(st.lists(st.integers(2, 256), max_size=200), st.integers(256, 4096), st.floats(0, 1))
def test_every_text_once_within_the_bounds(lengths: list[int], max_tokens: int, max_padding: float) -> None:
    groups = buckets(lengths, max_tokens=max_tokens, max_padding=max_padding)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        padded = len(group) * max(lengths[i] for i in group)
        assert padded <= max_tokens
        assert padded - sum(lengths[i] for i in group) <= max_padding * padded


def test_equal_texts_share_a_pass() -> None:
    assert len(buckets([16] * 64)) == 1
    assert buckets([]) == []
