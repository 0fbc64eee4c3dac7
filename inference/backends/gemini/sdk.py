"""The one place that imports google-genai, when it is first used: it costs seconds."""

import asyncio
import sys
from typing import Any

from pydantic import SecretStr


def new_client(api_key: SecretStr, base_url: str | None) -> Any:
    """A client that tries once: when to try again is the callers' decision."""
    from google import genai  # noqa: PLC0415
    from google.genai import types  # noqa: PLC0415

    # Without options for retries the client hides one of its own behind a pause of up to ten seconds.
    options = types.HttpOptions(base_url=base_url, retry_options=types.HttpRetryOptions(attempts=1))
    return genai.Client(api_key=api_key.get_secret_value(), http_options=options)


class LazyClient:
    """Makes the client at the first call, in a thread: the import would stop the event loop."""

    def __init__(self, *, api_key: SecretStr, base_url: str | None) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._lock = asyncio.Lock()
        self._client: Any = None

    async def get(self) -> Any:
        """The client."""
        async with self._lock:
            if self._client is None:
                self._client = await asyncio.to_thread(new_client, self._api_key, self._base_url)
        return self._client

    async def close(self) -> None:
        """Closes the connections, if there are any."""
        if self._client is not None:
            await self._client.aio.aclose()


def transport_errors() -> tuple[type[Exception], ...]:
    """What google-genai lets through from the HTTP library that it found: aiohttp, else httpx2 or httpx."""
    errors: list[type[Exception]] = [OSError]
    for module, name in (("aiohttp", "ClientError"), ("httpx2", "HTTPError"), ("httpx", "HTTPError")):
        if module in sys.modules:
            errors.append(getattr(sys.modules[module], name))
    return tuple(errors)
