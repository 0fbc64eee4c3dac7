"""How the processes of a stack are: whether they answer, since when they run and what memory they take."""

import asyncio
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from troupe.local.probes import KINDS
from troupe.local.stack_file import Member

# Fields of a process's status behind its name, from 0 (proc(5)).
_GROUP: Final = 2
_STARTED: Final = 19
_RESIDENT_PAGES: Final = 21


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """A process now. `problem` is empty when it does its work; what cannot be known of one elsewhere is None."""

    member: Member
    problem: str
    up_seconds: float | None
    memory_bytes: int | None


async def status_of(members: Mapping[str, Member]) -> dict[str, MemberStatus]:
    """Asks all of them at once."""
    problems = await asyncio.gather(*(_problem(member) for member in members.values()))
    memory = _memory_by_group()
    return {
        name: MemberStatus(member, problem, up_seconds(member.pid), memory.get(member.pid) if member.pid else None)
        for (name, member), problem in zip(members.items(), problems, strict=True)
    }


async def _problem(member: Member) -> str:
    if (probe := KINDS.get(member.kind)) is None:
        return f"cannot be asked: {member.kind!r} is unknown"
    try:
        await probe(member.address)()
    except TimeoutError:
        return "does not answer"
    except OSError as error:
        return _brief(str(error)) or "does not answer"
    return ""


def _brief(problem: str) -> str:
    """The last words of what gRPC tells say what went wrong."""
    return problem.rpartition(": ")[2] if "last error: " in problem else problem


def up_seconds(pid: int | None) -> float | None:
    """How long a process has run; None when there is none."""
    fields = _fields(Path(f"/proc/{pid}")) if pid is not None else []
    if not fields:
        return None
    since_boot = float(Path("/proc/uptime").read_text().split()[0])
    return max(0.0, since_boot - int(fields[_STARTED]) / os.sysconf("SC_CLK_TCK"))


def _memory_by_group() -> Counter[int]:
    """Resident bytes by process group: each process of a stack leads one, with all that it starts."""
    memory: Counter[int] = Counter()
    for process in Path("/proc").glob("[0-9]*"):
        if fields := _fields(process):
            memory[int(fields[_GROUP])] += int(fields[_RESIDENT_PAGES]) * os.sysconf("SC_PAGE_SIZE")
    return memory


def _fields(process: Path) -> list[str]:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return []
