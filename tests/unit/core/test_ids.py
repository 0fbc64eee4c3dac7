"""Identifiers."""

from troupe.core.ids import new_id


def test_ids_are_unique_and_in_order_of_creation() -> None:
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [i[:10] for i in ids] == sorted(i[:10] for i in ids)
    assert all(len(i) == 26 and i.isalnum() and i.islower() for i in ids)
