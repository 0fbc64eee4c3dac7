"""The sender: takes due notifications from the outbox, calls their receivers and records what came of it."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from troupe.api.orchestrator.v1.task_pb2 import Task
from troupe.core.errors import TroupeError
from troupe.core.logs import get_logger
from troupe.core.web.client import WebClient
from troupe.core.web.errors import WebError
from troupe.core.web.urls import host_of
from troupe.orchestrator import metrics
from troupe.orchestrator.store.patience import persistently
from troupe.orchestrator.webhooks.lanes import Lanes
from troupe.orchestrator.webhooks.outcome import Rejection, rejection_of_error, rejection_of_response
from troupe.orchestrator.webhooks.payload import has_ended, payload
from troupe.orchestrator.webhooks.settings import WebhookSettings
from troupe.orchestrator.webhooks.signing import signed_headers

_STORE_PAUSE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Pending:
    """A notification that is due. `attempt` counts calls from 1; the id is the same in all of them."""

    task_id: str
    url: str
    attempt: int
    notification_id: str


class Outbox(Protocol):
    """The notifications that were not delivered yet. All methods raise STORE_UNAVAILABLE, and bear to be repeated."""

    async def claim(self, *, limit: int, hold_ms: int) -> Sequence[Pending]:
        """Due notifications, each leased to the caller: due again when `hold_ms` pass without a word about it."""

    async def load(self, pending: Pending) -> Task:
        """The task, with its output and its error; raises TASK_NOT_FOUND when it is kept no more."""

    async def postpone(self, pending: Pending, *, delay_ms: int) -> None:
        """Not called: due again after the delay, as the same attempt."""

    async def delivered(self, pending: Pending, *, status: int) -> None:
        """Done."""

    async def failed(self, pending: Pending, *, problem: str, retry_ms: int | None) -> None:
        """Due again after the delay as the next attempt; None: given up."""


class WebhookSender:
    """Delivers at least once: a sender that dies after a call leaves it to another to call again."""

    def __init__(self, *, outbox: Outbox, client: WebClient, settings: WebhookSettings) -> None:
        self._outbox = outbox
        self._client = client
        self._settings = settings
        self._secrets = [secret.get_secret_value() for secret in settings.secrets]
        self._policy = settings.policy()
        self._hold_ms = int((settings.timeout_seconds + settings.margin_seconds) * 1000)
        self._lanes = Lanes(places=settings.max_concurrency_per_host)
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Sends until it is cancelled; what was under way then is sent again by another."""
        async with asyncio.TaskGroup() as group:
            while True:
                for pending in await self._claim():
                    task = group.create_task(self._handle(pending))
                    self._running.add(task)
                    task.add_done_callback(self._running.discard)

    async def _claim(self) -> Sequence[Pending]:
        """Notifications for the places that are free, once there are both."""
        while True:
            if len(self._running) >= self._settings.max_concurrency:
                await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            pause_seconds = self._settings.poll_seconds
            try:
                limit = self._settings.max_concurrency - len(self._running)
                if claimed := await self._outbox.claim(limit=limit, hold_ms=self._hold_ms):
                    return claimed
            except TroupeError as error:
                get_logger().warning("webhooks not claimed", problem=error.message)
                pause_seconds = _STORE_PAUSE_SECONDS
            await asyncio.sleep(pause_seconds * random.uniform(0.75, 1.25))  # noqa: S311 - jitter

    async def _handle(self, pending: Pending) -> None:
        host = host_of(pending.url)
        wait_seconds = self._lanes.enter(host, now=time.monotonic())
        try:
            if wait_seconds is not None:
                delay_ms = round(wait_seconds * 1000)
                await persistently(lambda: self._outbox.postpone(pending, delay_ms=delay_ms))
            else:
                await self._record(pending, host, await self._in_lane(pending, host))
        except TroupeError as error:  # its lease brings it back
            get_logger().error("webhook not recorded", task_id=pending.task_id, host=host, problem=error.message)

    async def _in_lane(self, pending: Pending, host: str) -> int | Rejection:
        started = time.monotonic()
        try:
            return await self._call(pending)
        except Exception:  # noqa: BLE001 - one notification shall not stop the others
            get_logger().exception("webhook defect", task_id=pending.task_id, host=host)
            return Rejection("a defect of the sender, see the log")
        finally:
            self._lanes.leave(host, took_seconds=time.monotonic() - started)

    async def _call(self, pending: Pending) -> int | Rejection:
        """The receiver's 2xx status, or what went wrong."""
        try:
            task = await persistently(lambda: self._outbox.load(pending))
        except TroupeError as error:
            return Rejection(error.message, final=not error.retryable)
        if not has_ended(task):
            return Rejection("the task runs again", final=True)
        body = payload(task)
        headers = signed_headers(
            message_id=pending.notification_id, timestamp=int(time.time()), body=body, secrets=self._secrets
        )
        headers["content-type"] = "application/json"
        try:
            response = await self._client.request("POST", pending.url, headers=headers, body=body, max_body_bytes=0)
        except WebError as error:
            return rejection_of_error(error)
        return rejection_of_response(response.status, response.headers, now=datetime.now(UTC)) or response.status

    async def _record(self, pending: Pending, host: str, outcome: int | Rejection) -> None:
        log = get_logger().bind(task_id=pending.task_id, host=host, attempt=pending.attempt)
        if isinstance(outcome, int):
            await persistently(lambda: self._outbox.delivered(pending, status=outcome))
            metrics.WEBHOOKS.labels("delivered").inc()
            log.info("webhook delivered", status=outcome)
            return
        draw = random.random()  # noqa: S311 - jitter
        retry_ms = outcome.retry_ms(self._policy, attempt=pending.attempt, draw=draw)
        await persistently(lambda: self._outbox.failed(pending, problem=outcome.problem, retry_ms=retry_ms))
        metrics.WEBHOOKS.labels("given_up" if retry_ms is None else "failed").inc()
        event = "webhook given up" if retry_ms is None else "webhook failed"
        log.warning(event, status=outcome.status, problem=outcome.problem, retry_ms=retry_ms)
