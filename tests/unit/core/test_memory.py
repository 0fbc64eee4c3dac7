"""Memory that is free is given back, when it is worth while."""

from troupe.core.memory import Glibc, Trimming, resident_bytes

MIB = 1 << 20


class Heap:
    """An allocator that gives back so much of what is free."""

    def __init__(self) -> None:
        self.used = 10 * MIB
        self.free = 0
        self.stuck = 0
        self.trims = 0

    def used_bytes(self) -> int:
        return self.used

    def resident(self) -> int:
        return self.used + self.free + 40 * MIB

    def trim(self) -> None:
        self.trims += 1
        self.free = min(self.free, self.stuck)


def test_what_is_free_is_given_back_and_what_is_in_use_is_let_be() -> None:
    heap = Heap()
    trimming = Trimming(heap, resident_bytes=heap.resident)
    heap.used += 500 * MIB
    assert not trimming.is_due()
    heap.used, heap.free = 10 * MIB, 500 * MIB
    assert trimming.is_due()
    trimming.trim()
    assert not trimming.is_due()
    heap.free = 8 * MIB
    assert not trimming.is_due()


def test_what_cannot_be_given_back_is_not_asked_for_again_and_again() -> None:
    heap = Heap()
    trimming = Trimming(heap, resident_bytes=heap.resident)
    heap.free, heap.stuck = 300 * MIB, 200 * MIB
    assert trimming.is_due()
    trimming.trim()
    assert not trimming.is_due()
    heap.free = 260 * MIB
    assert trimming.is_due()
    heap.free = heap.stuck = 0  # it came back by itself
    assert not trimming.is_due()
    heap.free = 40 * MIB
    assert trimming.is_due()


def test_glibc_gives_back_thousands_of_holes() -> None:
    glibc = Glibc()
    kept = [bytes(60_000) for _ in range(4_000)]
    full = resident_bytes()
    pinned = kept[::40]
    del kept
    glibc.trim()
    assert full - resident_bytes() > 150 * MIB
    assert len(pinned) == 100
