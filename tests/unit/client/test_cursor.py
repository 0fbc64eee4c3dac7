from hypothesis import given
from hypothesis import strategies as st

from troupe.api.orchestrator.v1.event_pb2 import Checkpoint, TaskEvent
from troupe.client.cursor import Cursor, Place


@given(st.lists(st.integers(1, 12), max_size=60), st.integers(0, 5))
def test_whatever_arrives_only_a_gap_free_sequence_is_handed_on(arrivals: list[int], start: int) -> None:
    cursor = Cursor("t", start)
    handed_on = []
    for sequence in arrivals:
        event = TaskEvent(task_id="t", sequence=sequence)
        if cursor.place(event) is Place.NEXT:
            handed_on.append(sequence)
            cursor = cursor.after(event)
    assert handed_on == list(range(start + 1, start + 1 + len(handed_on)))


def test_places() -> None:
    cursor = Cursor("t", 4)
    assert cursor.place(TaskEvent(sequence=4)) is Place.SEEN
    assert cursor.place(TaskEvent(sequence=5)) is Place.NEXT
    assert cursor.place(TaskEvent(sequence=6)) is Place.BEYOND_GAP
    assert cursor.place(TaskEvent(checkpoint=Checkpoint())) is Place.CHECKPOINT
