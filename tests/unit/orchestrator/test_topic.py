"""A topic loses nothing and repeats nothing, whoever takes when, whatever the tail misses."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from troupe.orchestrator.watch.topic import Chunk, Ender, Follower, Topic

CAPACITY = 60


@dataclass(eq=False)
class Reader(Follower):
    """Follows by the rules: reads the log when it is stale, else takes."""

    topic: Topic
    seen: list[int] = field(default_factory=list)
    woken: bool = True
    ended: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def wake(self, size_bytes: int) -> None:
        self.woken = True

    def step(self, log: list[Chunk], *, read_first: int) -> None:
        """Takes or reads once. `read_first` chunks arrive after it began to read."""
        cursor = len(self.seen)
        if self.stale:
            self.topic.join(self)
            upto = log[len(log) - read_first - 1].last if len(log) > read_first else 0
            self.seen += range(cursor + 1, upto + 1)
            return
        if taken := self.topic.take(self, cursor):
            assert taken.after == cursor
            assert list(taken.frames) == [n % 256 for n in range(cursor + 1, taken.last + 1)]
            self.seen += range(cursor + 1, taken.last + 1)
            self.ended = taken.ended
        elif not self.stale:
            self.woken = False


class Ending(Ender):
    """Counts what it hears."""

    def __init__(self) -> None:
        self.last: int | None = 0

    def end(self, chunk: Chunk | None) -> None:
        self.last = chunk.last if chunk else None


class TopicMachine(RuleBasedStateMachine):
    """The log is the list of all chunks; the topic gets them late, or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.topic = Topic(CAPACITY)
        self.log: list[Chunk] = []
        self.delivered = 0
        self.readers: list[Reader] = []

    @property
    def newest(self) -> int:
        return self.log[-1].last if self.log else 0

    @rule(count=st.integers(1, 40), large=st.integers(0, 9))
    def append(self, count: int, large: int) -> None:
        first = self.newest + 1
        frames = b"" if large == 0 else bytes(n % 256 for n in range(first, first + count))
        self.log.append(Chunk(first, first + count - 1, frames, False))

    @rule(again=st.integers(0, 2))
    def deliver(self, again: int) -> None:
        for chunk in self.log[max(0, self.delivered - again) :]:
            self.topic.put(chunk)
        self.delivered = len(self.log)

    @rule()
    def lose(self) -> None:
        """The tail is cut: what was not delivered never is."""
        self.delivered = len(self.log)
        self.topic.reset()

    @rule()
    def skip(self) -> None:
        """What was not delivered never is, and nobody says so."""
        self.delivered = len(self.log)

    @rule()
    def flush(self) -> None:
        self.topic.flush()

    @rule()
    def join(self) -> None:
        if len(self.readers) < 4:
            self.readers.append(Reader(self.topic))
            self.topic.add(self.readers[-1])

    @rule(number=st.integers(0, 3))
    def leave(self, number: int) -> None:
        if number < len(self.readers):
            self.topic.remove(self.readers.pop(number))

    @rule(number=st.integers(0, 3), read_first=st.integers(0, 2))
    def step(self, number: int, read_first: int) -> None:
        """A read of the log may be overtaken by chunks that are appended but not delivered yet, or were just now."""
        if number < len(self.readers):
            reader = self.readers[number]
            undelivered = len(self.log) - self.delivered
            reader.step(self.log, read_first=min(read_first, undelivered))

    @rule(number=st.integers(0, 3))
    def give_up(self, number: int) -> None:
        if number < len(self.readers) and not self.readers[number].stale:
            self.topic.drop(self.readers[number])
            self.readers[number].woken = True

    @rule()
    def settle(self) -> None:
        """Once the newest is delivered, everyone who is woken gets everything."""
        self.append(count=1, large=1)
        self.deliver(again=0)
        self.flush()
        for reader in self.readers:
            while reader.woken:
                reader.step(self.log, read_first=0)
            assert len(reader.seen) == self.newest
        assert not self.topic.held_bytes, "what all have taken is dropped"

    @invariant()
    def seen_once_in_order(self) -> None:
        for reader in self.readers:
            assert reader.seen == list(range(1, len(reader.seen) + 1))
        assert self.topic.held_bytes <= CAPACITY + 40


TestTopic = TopicMachine.TestCase
TestTopic.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


def test_who_waits_for_the_end_hears_of_it_and_of_every_doubt() -> None:
    topic, ending = Topic(CAPACITY), Ending()
    topic.add(ending)
    topic.put(Chunk(1, 2, b"ab", False))
    assert ending.last == 0
    topic.put(Chunk(3, 4, b"cd", True))
    assert ending.last == 4
    topic.put(Chunk(7, 7, b"x", False))
    assert ending.last is None, "the end may have been among what is missing"
    assert not topic.held_bytes


def test_only_the_newest_end_ends() -> None:
    topic = Topic(CAPACITY)
    reader = Reader(topic)
    topic.add(reader)
    topic.join(reader)
    topic.put(Chunk(1, 1, b"\x01", True))
    assert topic.ends
    topic.flush()
    topic.put(Chunk(2, 2, b"\x02", False))
    reader.step([], read_first=0)
    assert not reader.ended, "the task was taken up again"
    topic.put(Chunk(3, 3, b"\x03", True))
    topic.flush()
    reader.step([], read_first=0)
    assert reader.ended
    assert reader.seen == [1, 2, 3]
