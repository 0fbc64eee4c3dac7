"""What the gateway answers to which request."""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway import faults, pages
from gateway.access_log import AccessLog
from gateway.assets import Assets
from gateway.downstream.exchange import Downstream, Upload
from gateway.faults import fault
from gateway.proxy import Backends, Call, CallRequest
from gateway.wire import cors
from gateway.wire.cors import CorsPolicy
from gateway.wire.http1 import RequestHead
from gateway.wire.media import Media, parse_media
from gateway.wire.metadata import GrpcStatus
from gateway.wire.timeout import TimeoutFormatError, parse_timeout
from troupe.core.ids import new_id

_METHOD_PATH: Final = re.compile(rb"/([A-Za-z_][\w.]*)/([A-Za-z_]\w*)", re.ASCII)
_REQUEST_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What calls may ask for."""

    max_message_bytes: int
    max_concurrent_calls: int


class ServiceAllowList:
    """Which services can be called: full names, or `troupe.api.*` for all below."""

    def __init__(self, patterns: Sequence[str]) -> None:
        forms = [re.escape(p[:-1]) + r"[\w.]+" if p.endswith(".*") else re.escape(p) for p in patterns]
        self._pattern = re.compile("|".join(forms) or "(?!)", re.ASCII)

    def allows(self, service: str) -> bool:
        """Whether calls of the service are forwarded."""
        return self._pattern.fullmatch(service) is not None


class GatewayApplication:
    """Routes requests: calls to the backends, the few plain ones to pages."""

    def __init__(
        self,
        *,
        backends: Backends,
        health: Callable[[], pages.Page],
        cors_policy: CorsPolicy,
        services: ServiceAllowList,
        limits: CallLimits,
        access_log: AccessLog,
        assets: Assets,
    ) -> None:
        self._backends = backends
        self._health = health
        self._cors = cors_policy
        self._services = services
        self._limits = limits
        self._access_log = access_log
        self._assets = assets
        self._calls: dict[Call, None] = {}
        self._draining = False
        self._idle = asyncio.Event()

    @property
    def open_calls(self) -> int:
        """Calls that have not ended."""
        return len(self._calls)

    def drain(self) -> None:
        """Refuses new calls from now on."""
        self._draining = True
        if not self._calls:
            self._idle.set()

    async def idle(self) -> None:
        """Returns when the application drains and no call is open any more."""
        await self._idle.wait()

    def abort_calls(self) -> None:
        """Ends the calls that are still open."""
        for call in list(self._calls):
            call.abort(fault(faults.SERVER_DRAINING, "the gateway is stopping; connect again and go on where you were"))

    def handle(self, head: RequestHead, downstream: Downstream) -> Upload | None:
        """See `Application`."""
        origin = head.get(b"origin")
        allowed = self._cors.allows(origin, head.get(b"host"))
        media = parse_media(head.get(b"content-type"), head.get(b"accept")) if head.method == b"POST" else None
        if head.method == b"OPTIONS" and origin and head.get(b"access-control-request-method"):
            _send(downstream, pages.preflight(head, origin) if allowed else pages.foreign_origin(origin))
        elif media is not None and allowed:
            return self._call(head, media, origin, downstream)
        elif media is not None:
            _send(downstream, pages.foreign_origin(origin))
        else:
            _send(downstream, self._page(head))
        return None

    def _page(self, head: RequestHead) -> pages.Page:
        path = head.target.partition(b"?")[0]
        if head.method == b"POST":
            return pages.NOT_GRPC_WEB if _METHOD_PATH.fullmatch(path) else pages.NOT_FOUND
        if head.method not in (b"GET", b"HEAD"):
            return pages.METHOD_NOT_ALLOWED
        if path == b"/healthz":
            return self._health()
        if page := self._assets.find(
            path, accept_encoding=head.get(b"accept-encoding"), if_none_match=head.get(b"if-none-match")
        ):
            return page
        return pages.CALL_WITH_POST if self._service_of(path) else pages.NOT_FOUND

    def _call(self, head: RequestHead, media: Media, origin: bytes, downstream: Downstream) -> Upload:
        given_id = head.get(b"x-request-id")
        request_id = given_id if _REQUEST_ID.fullmatch(given_id) else new_id().encode()
        problem = self._refusal(head)
        timeout_seconds: float | None = None
        try:
            timeout_seconds = parse_timeout(timeout) if (timeout := head.get(b"grpc-timeout")) else None
        except TimeoutFormatError as error:
            problem = problem or fault(faults.INVALID_REQUEST, str(error))
        call = Call(
            request=CallRequest(head, media, origin, request_id, timeout_seconds),
            downstream=downstream,
            backends=self._backends,
            access_log=self._access_log,
            max_message_bytes=self._limits.max_message_bytes,
            on_end=self._forget,
        )
        self._calls[call] = None
        if problem is not None:
            call.abort(problem)
        else:
            call.begin()
        return call

    def _forget(self, call: Call) -> None:
        del self._calls[call]
        if self._draining and not self._calls:
            self._idle.set()

    def _refusal(self, head: RequestHead) -> GrpcStatus | None:
        if self._service_of(head.target) is None:
            return fault(faults.NOT_IMPLEMENTED, f"the gateway knows no method {head.target.decode()!r}")
        if self._draining:
            return fault(faults.SERVER_DRAINING, "the gateway is stopping; connect again")
        if len(self._calls) >= self._limits.max_concurrent_calls:
            return fault(
                faults.QUOTA_EXCEEDED, f"{len(self._calls)} calls are open, which is the most; call again later"
            )
        return None

    def _service_of(self, path: bytes) -> str | None:
        match = _METHOD_PATH.fullmatch(path)
        service = match[1].decode() if match else ""
        return service if self._services.allows(service) else None


def _send(downstream: Downstream, page: pages.Page) -> None:
    downstream.start(page.status, (*page.headers, cors.VARY), length=len(page.body))
    downstream.end(page.body)
