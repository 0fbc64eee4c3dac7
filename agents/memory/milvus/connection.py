"""The connection to Milvus: made when first needed, dropped when it breaks, made again by the next call.

pymilvus blocks and takes seconds to import, so it is imported and called in threads of its own.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Self, TypeVar

import grpc

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError
from troupe.core.masking import masked, scrubbed

T = TypeVar("T")

_THREADS: Final = 8
_CONNECT_SECONDS: Final = 5
_CONNECT_FAILED: Final = 2  # pymilvus' own code


class MilvusError(Exception):
    """Milvus answered, and refused; `code` is its own."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class MilvusConnection:
    """Runs blocking calls on a `MilvusClient` inside its `async with`."""

    def __init__(self, *, uri: str, token: str, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        self._uri = uri
        self._token = token
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="milvus")
        self._connecting = asyncio.Lock()
        self._client: Any = None

    async def __aenter__(self) -> Self:
        self._threads.submit(_import)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._drop(self._client)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def call(self, work: Callable[[Any], T]) -> T:
        """Runs `work` with the client in a thread.

        Raises:
            TroupeError: MEMORY_UNAVAILABLE when Milvus cannot be reached.
            MilvusError: Milvus refuses.
        """
        return await self._run(work, await self._connected())

    def unavailable(self, problem: str) -> TroupeError:
        """The error of a Milvus that does not serve."""
        message = f"Milvus at {masked(self._uri)!r} {problem}"
        return TroupeError(ErrorReason.ERROR_REASON_MEMORY_UNAVAILABLE, message)

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._client is None:
                self._client = await self._connect_again_if_cut()
            return self._client

    async def _connect_again_if_cut(self) -> Any:
        """A new client may get the connection of one that was idle, which the server closes under its first call."""
        try:
            return await self._run(self._connect, None)
        except TroupeError:
            return await self._run(self._connect, None)

    def _connect(self, _: object) -> Any:
        client = _import().MilvusClient(uri=self._uri, token=self._token, timeout=_CONNECT_SECONDS)
        client.get_server_version(timeout=_CONNECT_SECONDS)
        return client

    async def _run(self, work: Callable[[Any], T], client: Any) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, work, client)
        except grpc.RpcError as error:
            raise self._explain(error.code(), error.details() or "", client) from error
        except grpc.FutureTimeoutError as error:
            raise self._explain(grpc.StatusCode.DEADLINE_EXCEEDED, "", client) from error
        except Exception as error:  # the class of the others is known only once pymilvus is imported
            if not isinstance(error, _import().MilvusException):
                raise
            raise self._explain(error.code, error.message, client) from error

    def _explain(self, code: object, message: str, client: Any) -> Exception:
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return self.unavailable(f"does not answer within {self.timeout_seconds:g} s")
        if code in (grpc.StatusCode.UNAVAILABLE, _CONNECT_FAILED) or "closed channel" in message:
            self._drop(client)
            return self.unavailable("cannot be reached; is it running?")
        return MilvusError(code if isinstance(code, int) else -1, scrubbed(message, self._uri))

    def _drop(self, client: Any) -> None:
        if client is not None and client is self._client:
            self._client = None
            self._threads.submit(client.close)


def _import() -> Any:
    import pymilvus  # noqa: PLC0415 - takes seconds

    # It logs each error that it raises, with a trace.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)
    return pymilvus
