"""Turns what handlers raise into statuses with details. Nothing else aborts a call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc.aio
from google.protobuf.message import Message
from grpc_status import rpc_status

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError
from troupe.core.interceptors.around import Context, Interceptor, Method
from troupe.core.logs import get_logger
from troupe.core.telemetry.spans import note_reason


class ErrorsInterceptor(Interceptor):
    """Errors with a reason keep it; anything else is a defect: logged whole, answered as INTERNAL."""

    @asynccontextmanager
    async def around(self, method: Method, request: Message | None, context: Context) -> AsyncIterator[None]:
        """Aborts the call with the status of the error."""
        try:
            yield
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except TroupeError as error:
            await _abort(context, error)
        except grpc.aio.AioRpcError as error:
            await _abort(context, TroupeError.from_rpc(error))
        except Exception:  # noqa: BLE001 - the edge: a defect must not reach the client
            get_logger().exception("handler failed", method=method.path)
            problem = "internal error; the log of the server has it under this request id"
            await _abort(context, TroupeError(ErrorReason.ERROR_REASON_INTERNAL, problem))


async def _abort(context: Context, error: TroupeError) -> None:
    note_reason(error.reason_name)
    status = rpc_status.to_status(error.to_status())
    trailers = (*(context.trailing_metadata() or ()), *status.trailing_metadata)
    await context.abort(status.code, status.details, trailers)
