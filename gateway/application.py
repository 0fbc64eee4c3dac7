"""What the gateway answers to which request."""

import asyncio
import re
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Final

from troupe.core.ids import new_id
from troupe.gateway import faults, pages
from troupe.gateway.assets import Assets
from troupe.gateway.dialects import Asked, Dialects
from troupe.gateway.downstream.exchange import Downstream, Upload
from troupe.gateway.facades.router import Facades
from troupe.gateway.faults import fault
from troupe.gateway.observation import Observer
from troupe.gateway.proxy import Backends, Call, CallRequest
from troupe.gateway.wire import cors
from troupe.gateway.wire.cors import CorsPolicy
from troupe.gateway.wire.hosts import HostPolicy
from troupe.gateway.wire.media import is_grpc
from troupe.gateway.wire.metadata import GrpcStatus
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.shown import shown

_METHOD_PATH: Final = re.compile(rb"/([A-Za-z_][\w.]*)/([A-Za-z_]\w*)", re.ASCII)
_HEALTH: Final = b"/healthz"
_REQUEST_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")


class ServiceAllowList:
    """Which services can be called: full names, or `troupe.api.*` for all below."""

    def __init__(self, patterns: Sequence[str]) -> None:
        forms = [re.escape(p[:-1]) + r"[\w.]+" if p.endswith(".*") else re.escape(p) for p in patterns]
        self._pattern = re.compile("|".join(forms) or "(?!)", re.ASCII)

    def allows(self, service: str) -> bool:
        """Whether calls of the service are forwarded."""
        return self._pattern.fullmatch(service) is not None


class _RequestIds:
    """Ids of requests that bring none: one that no other process has, and a number."""

    def __init__(self) -> None:
        self._prefix = new_id().encode()
        self._count = 0

    def next(self) -> bytes:
        self._count += 1
        return b"%b-%x" % (self._prefix, self._count)


class GatewayApplication:
    """Routes requests: calls to the backends, the few plain ones to pages."""

    def __init__(
        self,
        *,
        backends: Backends,
        health: Callable[[], pages.Page],
        hosts: HostPolicy,
        cors_policy: CorsPolicy,
        services: ServiceAllowList,
        dialects: Dialects,
        facades: Facades,
        max_concurrent_calls: int,
        observer: Observer,
        assets: Assets,
    ) -> None:
        self._backends = backends
        self._health = health
        self._hosts = hosts
        self._cors = cors_policy
        self._services = services
        self._dialects = dialects
        self._facades = facades
        self._max_concurrent_calls = max_concurrent_calls
        self._observer = observer
        self._assets = assets
        self._calls: dict[Call, None] = {}
        self._draining = False
        self._request_ids = _RequestIds()
        self._service_of = lru_cache(maxsize=1024)(self._find_service)
        self._idle = asyncio.Event()

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
        # A client that names no host, as HTTP/1.0 lets it, is no browser.
        if b"host" in head.fields and not self._hosts.allows(head.get(b"host")):
            _send(downstream, _as_grpc(head, self._of_other_host(head)))
            return None
        origin = head.get(b"origin")
        allowed = self._cors.allows(origin, head.get(b"host"))
        if head.method == b"OPTIONS" and origin and head.get(b"access-control-request-method"):
            _send(downstream, pages.preflight(head, origin) if allowed else pages.foreign_origin(origin))
            return None
        wanted = self._facades.of(head) or self._dialects.of(head) or self._page(head)
        if isinstance(wanted, pages.Page):
            _send(downstream, wanted, origin if allowed else b"")
        elif not allowed:
            _send(downstream, _as_grpc(head, pages.foreign_origin(origin)))
        elif isinstance(wanted, Asked):
            return self._call(head, origin, wanted, downstream)
        else:
            return wanted.open(partial(self._call, head, origin), downstream)
        return None

    def _of_other_host(self, head: RequestHead) -> pages.Page:
        if head.target == _HEALTH and head.method in (b"GET", b"HEAD"):  # probes call by any name
            return self._health().without_body()
        return pages.foreign_host(head.get(b"host"))

    def _page(self, head: RequestHead) -> pages.Page:
        path = head.target.partition(b"?")[0]
        if head.method == b"POST":
            return pages.unknown_media(head.get(b"content-type")) if _METHOD_PATH.fullmatch(path) else pages.NOT_FOUND
        if head.method not in (b"GET", b"HEAD"):
            return pages.METHOD_NOT_ALLOWED
        if path == _HEALTH:
            return self._health()
        if page := self._assets.find(
            path, accept_encoding=head.get(b"accept-encoding"), if_none_match=head.get(b"if-none-match")
        ):
            return page
        return pages.CALL_WITH_POST if self._service_of(path) else pages.NOT_FOUND

    def _call(self, head: RequestHead, origin: bytes, asked: Asked, downstream: Downstream) -> Call:
        given_id = head.get(b"x-request-id")
        request_id = given_id if _REQUEST_ID.fullmatch(given_id) else self._request_ids.next()
        call = Call(
            request=CallRequest(head, asked.path, origin, request_id),
            dialect=asked.dialect,
            downstream=downstream,
            backends=self._backends,
            observer=self._observer,
            on_end=self._forget,
        )
        problem = self._refusal(asked.path)
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

    def _refusal(self, path: bytes) -> GrpcStatus | None:
        if self._service_of(path) is None:
            return fault(faults.NOT_IMPLEMENTED, f"the gateway knows no method {shown(path)}")
        if self._draining:
            return fault(faults.SERVER_DRAINING, "the gateway is stopping; connect again")
        if len(self._calls) >= self._max_concurrent_calls:
            return fault(
                faults.QUOTA_EXCEEDED, f"{len(self._calls)} calls are open, which is the most; call again later"
            )
        return None

    def _find_service(self, path: bytes) -> str | None:
        match = _METHOD_PATH.fullmatch(path)
        service = match[1].decode() if match else ""
        return service if self._services.allows(service) else None


def _as_grpc(head: RequestHead, page: pages.Page) -> pages.Page:
    """A refusal whose status stands in its headers: gRPC clients take no body behind one."""
    return page.without_body() if head.http2 and is_grpc(head.get(b"content-type")) else page


def _send(downstream: Downstream, page: pages.Page, origin: bytes = b"") -> None:
    """Answers with a page, which pages of `origin` may read."""
    headers = (*page.headers, *cors.response_headers(origin))
    downstream.start(page.status, headers, length=len(page.body))
    downstream.end(page.body)
