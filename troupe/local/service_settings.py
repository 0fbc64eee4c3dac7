"""Asks the services for their settings, each in a process of its own: nothing here imports them."""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from typing import Final

from troupe.core.settings_view import Section, Value

SERVICES: Final = ("orchestrator", "agents", "inference", "gateway")
"""The packages; the worker's settings are the orchestrator's to tell."""


async def service_sections() -> Sequence[Section]:
    """What the services would read in this folder and environment."""
    told = await asyncio.gather(*map(_sections_of, SERVICES))
    return [section for sections in told for section in sections]


async def _sections_of(package: str) -> Sequence[Section]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"troupe.{package}.settings", stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate()
    if process.returncode:
        last = err.decode(errors="replace").strip().rpartition("\n")[2]
        return [Section(package, [], f"the settings of {package} cannot be read: {last}")]
    return [_section(json.loads(line)) for line in out.splitlines()]


def _section(told: dict[str, object]) -> Section:
    values = told["values"]
    assert isinstance(values, list)
    return Section(str(told["section"]), [Value(**value) for value in values], str(told["problem"]))
