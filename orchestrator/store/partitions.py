"""Partitions: which keys live together.

Every key of a task carries the hash tag of its partition, so that scripts touch one slot, on one Redis as on Redis
Cluster. The number of partitions is fixed for the life of a deployment.
"""

import hashlib
from dataclasses import dataclass

from troupe.core.ids import new_id
from troupe.orchestrator.store.schema import Key

_SUFFIX_DIGITS = 2
MAX_PARTITIONS = 256


@dataclass(frozen=True, slots=True)
class Partitions:
    """The partitions of a deployment. A task id ends in its partition's number, so that no look-up is needed."""

    count: int

    def of_task(self, task_id: str) -> int | None:
        """The partition of a task; None when no task can have this id."""
        try:
            number = int(task_id[-_SUFFIX_DIGITS:], 16)
        except ValueError:
            return None
        return number if number < self.count and len(task_id) > _SUFFIX_DIGITS else None

    def new_task_id(self, request_id: str) -> str:
        """A new id. Equal request ids land in one partition, where the script finds the earlier task."""
        number = int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:4]) % self.count
        return f"{new_id()}{number:0{_SUFFIX_DIGITS}x}"

    def prefix(self, partition: int) -> str:
        """What the keys of a partition begin with."""
        return f"troupe:{{p{partition:02x}}}"

    def key(self, partition: int, key: Key, **names: str | int) -> str:
        """A key of a partition; `names` are those in its template."""
        return f"{self.prefix(partition)}:{key.template.format(**names)}"

    def all(self) -> range:
        """Every partition."""
        return range(self.count)


def partition_of_key(key: bytes) -> int:
    """The partition that a key belongs to."""
    start = key.index(b"{p") + 2
    return int(key[start : key.index(b"}", start)], 16)
