"""What must hold of the deployment once everything has ended: Redis at rest, memory bounded, logs without defects."""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.bench.chaos.agents import EXECUTES
from tests.bench.chaos.deployment import Deployment
from tests.bench.chaos.member import rss_bytes
from tests.bench.chaos.store import RedisNode
from tests.support.processes import until

_MOST_GROWTH: Final = 0.3
_MOST_GROWTH_BYTES: Final = 20 << 20
# What grpcio logs of a call whose client left in the moment in which it was answered.
_LEFT: Final = "ExecuteBatchError raised in core"
# What a worker logs when an attempt counts no more.
_FENCED: Final = ("attempt lost",)


async def leftovers(deployment: Deployment, *, within_seconds: float) -> list[str]:
    """What is left in the store after a while that should have gone."""
    found: list[str] = []

    async def rests() -> bool:
        found[:] = [line for node in deployment.nodes async for line in _leftovers(node)]
        return not found

    try:
        await until(rests, timeout_seconds=within_seconds)
    except AssertionError:
        return found
    return []


async def _leftovers(node: RedisNode) -> AsyncIterator[str]:
    for name in ("leases", "due", "webhooks", "turns:*"):
        for key in await _keys(node, f"troupe:{{p*}}:{name}"):
            yield f"{key.decode()} holds {await node.execute('ZRANGE', key, 0, 4)}"
    for key in await _keys(node, "troupe:{p*}:queue:*"):
        yield f"{key.decode()} holds {await node.execute('LRANGE', key, 0, 4)}"
    for name in ("waiting", "open"):
        for key in await _keys(node, f"troupe:{{p*}}:{name}"):
            counts: Any = await node.execute("HGETALL", key)
            if any(map(int, counts[1::2])):
                yield f"{key.decode()} counts {counts}"
    for key in await _keys(node, "troupe:{p*}:task:*") + await _keys(node, "troupe:{p*}:request:*"):
        if await node.execute("TTL", key) == -1:
            yield f"{key.decode()} stays for ever"
    for key in await _keys(node, "troupe:{p*}:ready:*"):
        if length := await node.execute("XLEN", key):
            first = await node.execute("XRANGE", key, "-", "+", "COUNT", 1)
            yield f"{key.decode()} holds {length} messages, such as {first}"
        groups: Any = await node.execute("XINFO", "GROUPS", key)
        for group in groups:
            fields = dict(zip(group[::2], group[1::2], strict=True))
            if fields[b"pending"]:
                yield f"{key.decode()} has {fields[b'pending']} pending entries"


async def _keys(node: RedisNode, pattern: str) -> list[bytes]:
    reply: Any = await node.execute("KEYS", pattern)
    return sorted(reply)


def resident(deployment: Deployment) -> dict[str, int]:
    """Resident bytes of every process, by its name."""
    sizes = {member.name: member.rss_bytes() for member in deployment.members}
    for place, node in enumerate(deployment.nodes):
        sizes[f"redis{place}"] = rss_bytes(node.process.pid)
    return sizes


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    """The processes whose memory grew beyond the bound."""
    return [
        f"{name} grew from {old >> 20} to {after[name] >> 20} MiB"
        for name, old in before.items()
        if after[name] - old > max(_MOST_GROWTH * old, _MOST_GROWTH_BYTES)
    ]


def defects(folder: Path) -> list[str]:
    """Tracebacks in the logs, each kind once, with how often it stands there."""
    found: Counter[str] = Counter()
    for log in sorted(folder.glob("*.log")):
        text = log.read_text(errors="replace")
        found.update(f"{_kind(log)}: {defect}" for defect in _defects(text))
    return [f"{count} × {defect}" for defect, count in found.items()]


def repeated(folder: Path) -> list[str]:
    """Attempts that agents executed more than once: an attempt belongs to one execution."""
    executed: Counter[str] = Counter()
    for log in folder.glob("agents*.log"):
        for line in log.read_text(errors="replace").splitlines():
            fields = _parsed(line)
            if fields.get("message") == EXECUTES:
                executed[f"{fields['task_id']} {fields['step_id']}@{fields['attempt']}"] += 1
    return [f"{attempt}, {count} times" for attempt, count in executed.items() if count > 1]


def fenced(folder: Path) -> Counter[str]:
    """What the workers logged of messages and attempts that counted no more."""
    counts: Counter[str] = Counter()
    for log in folder.glob("worker*.log"):
        text = log.read_text(errors="replace")
        counts.update({what: text.count(f'"message": "{what}') for what in _FENCED})
    return counts


def _kind(log: Path) -> str:
    return log.stem.rstrip("0123456789")


def _defects(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.startswith("{"):
            fields = _parsed(line)
            if str(fields.get("event")).startswith(_LEFT):
                continue
            if "Traceback" in str(fields.get("exception", "")) or fields.get("level") == "critical":
                yield f"{fields.get('message')}: {_last_line(str(fields.get('exception')))}"
    yield from _plain_defects(text)


def _plain_defects(text: str) -> Iterator[str]:
    """The exception of each traceback that was printed, those of groups too."""
    inside = False
    for line in text.splitlines():
        bare = line.lstrip(" |+-")
        if bare.endswith("Traceback (most recent call last):"):
            inside = True
        elif inside and re.match(r"[\w.]+(Error|Exception|Group|Exit|Interrupt)\b", bare):
            inside = False
            yield bare


def _parsed(line: str) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(line)
    except ValueError:  # cut off by a kill
        return {}
    return fields


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1]
