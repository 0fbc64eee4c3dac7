"""Gemini through the real google-genai client, against a server that speaks its wire format."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta

import pytest
from pydantic import SecretStr

from tests.support.gemini import FakeGemini, Script, fake_gemini, text_event
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import (
    FinishReason,
    GenerateRequest,
    Message,
    Role,
    Sampling,
    ToolCall,
    ToolDefinition,
)
from troupe.core.errors import TroupeError
from troupe.inference.backends.backend import Finished, Generated, TextDelta, ToolRequest
from troupe.inference.backends.gemini.backend import GeminiBackend

# google-genai's own, of the class that it derives from aiohttp's.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

KEY = "not-a-real-key"
MODEL = "gemini-2.5-flash"
USAGE = {"promptTokenCount": 7, "candidatesTokenCount": 3, "thoughtsTokenCount": 2, "totalTokenCount": 12}


@pytest.fixture
async def fake() -> AsyncIterator[FakeGemini]:
    async with fake_gemini() as server:
        yield server


@pytest.fixture
async def gemini(fake: FakeGemini) -> AsyncIterator[GeminiBackend]:
    backend = GeminiBackend("gemini", models=[], api_key=SecretStr(KEY), base_url=fake.url)
    yield backend
    await backend.close()


def _request() -> GenerateRequest:
    return GenerateRequest(
        messages=[
            Message(role=Role.ROLE_SYSTEM, text="Be brief."),
            Message(role=Role.ROLE_USER, text="What is a lease?"),
        ],
        sampling=Sampling(max_output_tokens=100, temperature=0.5, stop=["END"]),
    )


async def _all(backend: GeminiBackend, request: GenerateRequest, timeout: float | None = 20) -> list[Generated]:
    return [event async for event in backend.generate(MODEL, request, timeout_seconds=timeout)]


async def _error(backend: GeminiBackend, timeout: float | None = 20) -> TroupeError:
    with pytest.raises(TroupeError) as caught:
        await _all(backend, _request(), timeout)
    return caught.value


async def test_an_answer_is_streamed(fake: FakeGemini, gemini: GeminiBackend) -> None:
    fake.script = Script(events=[text_event("A time-"), text_event("bound claim.", finish="STOP", usage=USAGE)])
    assert await _all(gemini, _request()) == [
        TextDelta("A time-"),
        TextDelta("bound claim."),
        Finished(FinishReason.FINISH_REASON_STOP, 7, 5),
    ]
    (call,) = fake.calls
    assert call.key == KEY
    assert call.path.endswith(f"/models/{MODEL}:streamGenerateContent?alt=sse")
    assert call.body["contents"] == [{"role": "user", "parts": [{"text": "What is a lease?"}]}]
    assert call.body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert call.body["generationConfig"]["maxOutputTokens"] == 100
    assert call.body["generationConfig"]["stopSequences"] == ["END"]


async def test_tools_are_asked_for_and_answered(fake: FakeGemini, gemini: GeminiBackend) -> None:
    part = {"functionCall": {"name": "search", "args": {"query": "lease"}}}
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
    fake.script = Script(events=[{"candidates": [candidate], "usageMetadata": USAGE}])
    request = _request()
    call = ToolCall(call_id="call-1", name="search")
    call.arguments.update({"query": "worker"})
    request.messages.add(role=Role.ROLE_ASSISTANT, tool_calls=[call])
    request.messages.add(role=Role.ROLE_TOOL, tool_call_id="call-1", text="nothing")
    request.tools.append(ToolDefinition(name="search", description="Searches."))
    request.tools[0].parameters.update({"type": "object", "properties": {"query": {"type": "string"}}})
    asked, finished = await _all(gemini, request)
    assert isinstance(asked, ToolRequest)
    assert (asked.call.name, asked.call.arguments["query"]) == ("search", "lease")
    assert asked.call.call_id
    assert isinstance(finished, Finished)
    assert finished.reason == FinishReason.FINISH_REASON_TOOL_CALLS
    _, model, tool = fake.calls[0].body["contents"]
    assert model["role"] == "model"
    assert model["parts"][0]["functionCall"]["args"] == {"query": "worker"}
    assert tool["parts"][0]["functionResponse"] == {"name": "search", "response": {"result": "nothing"}}


async def test_a_blocked_prompt_is_told(fake: FakeGemini, gemini: GeminiBackend) -> None:
    fake.script = Script(events=[{"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": USAGE}])
    (finished,) = await _all(gemini, _request())
    assert isinstance(finished, Finished)
    assert finished.reason == FinishReason.FINISH_REASON_BLOCKED


async def test_a_spent_quota_says_when_to_come_back(fake: FakeGemini, gemini: GeminiBackend) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]
    error = {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED", "details": details}
    fake.script = Script(status=429, body={"error": error})
    told = await _error(gemini)
    assert told.reason == ErrorReason.ERROR_REASON_QUOTA_EXCEEDED
    assert told.retry_delay == timedelta(seconds=34.5)
    assert len(fake.calls) == 1


@pytest.mark.parametrize(
    ("status", "message", "reason"),
    [
        (400, "API key not valid. Please pass a valid API key.", ErrorReason.ERROR_REASON_MODEL_REFUSED),
        (400, "Unknown field.", ErrorReason.ERROR_REASON_MODEL_REFUSED),
        (404, "models/x is not found", ErrorReason.ERROR_REASON_MODEL_NOT_FOUND),
        (503, "The model is overloaded.", ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE),
    ],
)
async def test_refusals_have_reasons(
    fake: FakeGemini, gemini: GeminiBackend, status: int, message: str, reason: "ErrorReason.ValueType"
) -> None:
    fake.script = Script(status=status, body={"error": {"code": status, "message": message, "status": "X"}})
    told = await _error(gemini)
    assert told.reason == reason
    assert message in told.message
    assert KEY not in told.message
    assert len(fake.calls) == 1


@pytest.mark.parametrize("cut", [True, False])
async def test_an_answer_that_breaks_off_is_an_error(fake: FakeGemini, gemini: GeminiBackend, cut: bool) -> None:
    fake.script = Script(events=[text_event("A time-")], cut=cut)
    assert (await _error(gemini)).reason == ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE


async def test_an_unreachable_server_is_told_at_once(gemini: GeminiBackend, fake: FakeGemini) -> None:
    backend = GeminiBackend("gemini", models=[], api_key=SecretStr(KEY), base_url="http://127.0.0.1:9")
    async with asyncio.timeout(15):  # most of it is the import of the client
        assert (await _error(backend)).reason == ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE
    await backend.close()


async def test_leaving_the_answer_closes_the_connection(fake: FakeGemini, gemini: GeminiBackend) -> None:
    fake.script = Script(events=[text_event("A time-")], hang=True)
    async with aclosing(gemini.generate(MODEL, _request(), timeout_seconds=None)) as events:
        async for _ in events:
            break
    async with asyncio.timeout(2):
        await fake.dropped.wait()


async def test_the_deadline_ends_the_call(fake: FakeGemini, gemini: GeminiBackend) -> None:
    fake.script = Script(events=[text_event("A time-", finish="STOP")])
    await _all(gemini, _request())  # imports the client
    fake.script = Script(events=[text_event("A time-")], hang=True)
    assert (await _error(gemini, timeout=0.2)).reason == ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED
    async with asyncio.timeout(2):
        await fake.dropped.wait()
