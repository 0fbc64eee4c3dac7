"""Agents' code under guard: whatever it is and does, its caller is told."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from troupe.agent.guarded import guarded
from troupe.api.agent.v1.agent_service_pb2 import AgentDescriptor, ExecuteRequest, ExecuteResponse
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError


class _Agent:
    """What `execute` is, is the test's."""

    def __init__(self, execute: Any) -> None:
        self.execute = execute

    def descriptors(self) -> list[AgentDescriptor]:
        return []


async def _yields_text(*_: Any, **__: Any) -> AsyncIterator[Any]:
    yield "done"


async def _yields_a_foreign_message(*_: Any, **__: Any) -> AsyncIterator[Any]:
    yield StepOutput(text="done")


async def _yields_nothing_at_all(*_: Any, **__: Any) -> AsyncIterator[Any]:
    yield None


async def _returns(*_: Any, **__: Any) -> Any:
    return ExecuteResponse(output=StepOutput(text="done"))


def _is_plain(*_: Any, **__: Any) -> Any:
    return iter([ExecuteResponse()])


def _raises_at_once(*_: Any, **__: Any) -> Any:
    raise KeyError("secret words")


def _takes_nothing() -> Any:
    return None


@pytest.mark.parametrize(
    "execute",
    [
        _yields_text,
        _yields_a_foreign_message,
        _yields_nothing_at_all,
        _returns,
        _is_plain,
        _raises_at_once,
        _takes_nothing,
    ],
)
async def test_an_agent_that_breaks_its_port_has_failed(execute: Any) -> None:
    async with aclosing(guarded(_Agent(execute), ExecuteRequest(agent="a"), timeout_seconds=5)) as responses:
        with pytest.raises(TroupeError) as failed:
            await anext(responses)
    assert failed.value.reason == ErrorReason.ERROR_REASON_AGENT_FAILED
    assert "agent `a`" in failed.value.message
    assert "secret words" not in failed.value.message
