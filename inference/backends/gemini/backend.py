"""Models of the Gemini API."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, Final

from pydantic import SecretStr

from troupe.api.inference.v1.inference_service_pb2 import Embedding, FinishReason, GenerateRequest, Model
from troupe.core.background import background
from troupe.core.ids import new_id
from troupe.inference.backends.backend import Embedded, Finished, Generated, TextDelta, ToolRequest
from troupe.inference.backends.gemini import translate
from troupe.inference.backends.gemini.errors import from_http, late, unavailable
from troupe.inference.backends.gemini.sdk import LazyClient, transport_errors

_MAX_BATCH: Final = 100
_MAX_WAITING_CHUNKS: Final = 64


class GeminiBackend:
    """Speaks through google-genai; without retries, so that a refusal is known at once."""

    def __init__(self, name: str, *, api_key: SecretStr, base_url: str | None, models: Sequence[Model]) -> None:
        self.name = name
        self.models = models
        self._client = LazyClient(api_key=api_key, base_url=base_url)

    async def generate(
        self, model: str, request: GenerateRequest, *, timeout_seconds: float | None
    ) -> AsyncGenerator[Generated, None]:
        # google-genai closes the connection of a stream only when the task that reads it is cancelled.
        chunks: asyncio.Queue[Any] = asyncio.Queue(_MAX_WAITING_CHUNKS)
        ending = _Ending()
        async with background(self._read(model, request, timeout_seconds, chunks), name="gemini") as reading:
            while (chunk := await chunks.get()) is not None:
                for event in ending.add(chunk):
                    yield event
            await reading
        yield ending.finished(model)

    async def embed(self, model: str, texts: Sequence[str], *, timeout_seconds: float | None) -> Embedded:
        """See `Backend`. The API does not tell the tokens: they count as 0."""
        embeddings: list[Embedding] = []
        async with _translated(model), asyncio.timeout(timeout_seconds):
            client = await self._client.get()
            for start in range(0, len(texts), _MAX_BATCH):
                part = list(texts[start : start + _MAX_BATCH])
                reply = await client.aio.models.embed_content(model=model, contents=part)
                embeddings.extend(Embedding(values=e.values) for e in reply.embeddings)
        return Embedded(embeddings, 0)

    async def ready(self, model: str) -> bool:
        """See `Backend`. A key is all that can be known without a paid call."""
        del model
        return True

    async def check(self) -> None:
        """See `Backend`. Nothing can be known without a paid call."""

    async def recover(self) -> None:
        """See `Backend`. There is nothing to mend."""

    async def close(self) -> None:
        await self._client.close()

    async def _read(
        self, model: str, request: GenerateRequest, timeout_seconds: float | None, chunks: asyncio.Queue[Any]
    ) -> None:
        try:
            async with _translated(model), asyncio.timeout(timeout_seconds):
                client = await self._client.get()
                stream = await client.aio.models.generate_content_stream(
                    model=model,
                    contents=translate.contents(request.messages),
                    config=translate.configuration(request),
                )
                async for chunk in stream:
                    await chunks.put(chunk)
        except Exception:  # whatever it is: who reads must not wait for more
            await chunks.put(None)
            raise
        await chunks.put(None)


class _Ending:
    """What the chunks say about the end."""

    def __init__(self) -> None:
        self._reason: FinishReason.ValueType | None = None
        self._tokens = (0, 0)
        self._called = False

    def add(self, chunk: Any) -> list[Generated]:
        """Counts a chunk; what it adds to the answer."""
        self._reason = translate.finish_reason(chunk) or self._reason
        self._tokens = translate.token_counts(chunk) or self._tokens
        text, calls = translate.text_and_calls(chunk)
        self._called = self._called or bool(calls)
        for call in calls:
            call.call_id = call.call_id or new_id()
        return [*([TextDelta(text)] if text else []), *(ToolRequest(call) for call in calls)]

    def finished(self, model: str) -> Finished:
        """The end; raises MODEL_UNAVAILABLE when the stream stopped without one."""
        if self._reason is None:
            raise unavailable("the answer broke off before its end", model=model)
        reason = FinishReason.FINISH_REASON_TOOL_CALLS if self._called else self._reason
        return Finished(reason, *self._tokens)


@contextlib.asynccontextmanager
async def _translated(model: str) -> AsyncIterator[None]:
    try:
        yield
    except TimeoutError:
        raise late(model=model) from None
    except transport_errors() as error:
        raise unavailable(str(error) or type(error).__name__, model=model) from None
    except Exception as error:  # the class of the others is known only once the SDK is imported
        from google.genai.errors import APIError  # noqa: PLC0415 - see `sdk`

        if not isinstance(error, APIError):
            raise
        raise from_http(error.code, error.message or error.status or "refused", error.details, model=model) from None
