"""Webhooks, from an outbox in memory to real receivers."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network

import pytest
import structlog
from aiohttp import web
from pydantic import SecretStr

from tests.support.processes import until
from tests.support.web_receiver import Receiver, answer, receiving
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1.task_pb2 import Task, TaskOutput, TaskSpec, TaskState
from troupe.core.errors import TroupeError
from troupe.core.web.client import WebClient
from troupe.orchestrator.webhooks.sender import Pending, WebhookSender
from troupe.orchestrator.webhooks.settings import WebhookSettings
from troupe.orchestrator.webhooks.signing import verify

SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
SETTINGS = WebhookSettings(
    secrets=tuple(SecretStr(secret) for secret in SECRETS),
    allowed_networks=(IPv4Network("127.0.0.0/8"),),
    timeout_seconds=2,
    initial_backoff_seconds=0.02,
    max_backoff_seconds=1,
    poll_seconds=0.02,
)


@dataclass
class Entry:
    pending: Pending
    due: float = 0
    problems: list[str] = field(default_factory=list)
    status: int | None = None
    given_up: bool = False

    @property
    def over(self) -> bool:
        return self.given_up or self.status is not None


class MemoryOutbox:
    """The port, kept in memory. While `down` it answers as a store that cannot be reached."""

    def __init__(self, *, state: "TaskState.ValueType" = TaskState.TASK_STATE_COMPLETED) -> None:
        self.entries: dict[str, Entry] = {}
        self.state = state
        self.down = False
        self.refusals = 0

    def add(self, url: str) -> Entry:
        number = len(self.entries) + 1
        entry = Entry(Pending(task_id=f"task-{number}", url=url, attempt=1, notification_id=f"msg_{number}"))
        self.entries[entry.pending.notification_id] = entry
        return entry

    async def settled(self) -> bool:
        return all(entry.over for entry in self.entries.values())

    async def claim(self, *, limit: int, hold_ms: int) -> Sequence[Pending]:
        self._reach()
        now = time.monotonic()
        due = [entry for entry in self.entries.values() if not entry.over and entry.due <= now][:limit]
        for entry in due:
            entry.due = now + hold_ms / 1000
        return [entry.pending for entry in due]

    async def load(self, pending: Pending) -> Task:
        self._reach()
        spec = TaskSpec(labels={"team": "a"})
        task = Task(task_id=pending.task_id, project="default", state=self.state, spec=spec, last_sequence=9)
        task.output.CopyFrom(TaskOutput(text="the report"))
        task.end_time.GetCurrentTime()
        return task

    async def postpone(self, pending: Pending, *, delay_ms: int) -> None:
        self._reach()
        self.entries[pending.notification_id].due = time.monotonic() + delay_ms / 1000

    async def delivered(self, pending: Pending, *, status: int) -> None:
        self._reach()
        self.entries[pending.notification_id].status = status

    async def failed(self, pending: Pending, *, problem: str, retry_ms: int | None) -> None:
        self._reach()
        entry = self.entries[pending.notification_id]
        entry.problems.append(problem)
        entry.given_up = retry_ms is None
        entry.due = time.monotonic() + (retry_ms or 0) / 1000
        entry.pending = replace(entry.pending, attempt=pending.attempt + 1)

    def _reach(self) -> None:
        if self.down:
            self.refusals += 1
            raise TroupeError(ErrorReason.ERROR_REASON_STORE_UNAVAILABLE, "Redis cannot be reached")


async def test_a_receiver_gets_a_signed_body() -> None:
    outbox = MemoryOutbox()
    async with receiving(answer(204)) as receiver, sending(outbox):
        entry = outbox.add(f"http://127.0.0.1:{receiver.port}/hooks/1?x=y")
        await until(outbox.settled)

    assert (entry.status, entry.problems) == (204, [])
    (request,) = receiver.received
    assert (request.method, request.path) == ("POST", "/hooks/1?x=y")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("troupe/")
    assert request.headers["webhook-id"] == "msg_1"
    for secret in SECRETS:
        verify(headers=request.headers, body=request.body, secret=secret, now=time.time())
    event = json.loads(request.body)
    assert (event["type"], event["data"]["task_id"]) == ("task.completed", "task-1")
    assert event["data"]["output"]["text"] == "the report"


async def test_a_receiver_that_fails_is_called_again_with_the_same_id_and_a_fresh_signature() -> None:
    outbox = MemoryOutbox()
    async with receiving(answer(500), answer(503), answer(200)) as receiver, sending(outbox):
        entry = outbox.add(f"http://127.0.0.1:{receiver.port}/")
        await until(outbox.settled)

    assert entry.status == 200
    assert entry.problems == ["the receiver answered 500", "the receiver answered 503"]
    assert {request.headers["webhook-id"] for request in receiver.received} == {"msg_1"}
    for request in receiver.received:
        verify(headers=request.headers, body=request.body, secret=SECRETS[0], now=time.time())


async def test_a_receiver_that_asks_for_time_gets_it() -> None:
    outbox = MemoryOutbox()
    async with receiving(answer(429, retry_after="1"), answer(200)) as receiver, sending(outbox):
        entry = outbox.add(f"http://127.0.0.1:{receiver.port}/")
        await until(lambda: called(receiver, 1))
        asked = time.monotonic()
        await until(outbox.settled)
    assert entry.status == 200
    assert time.monotonic() - asked > 0.9


async def test_a_receiver_that_is_gone_is_not_called_again() -> None:
    outbox = MemoryOutbox()
    async with receiving(answer(410)) as receiver, sending(outbox):
        entry = outbox.add(f"http://127.0.0.1:{receiver.port}/")
        await until(outbox.settled)
    assert entry.given_up
    assert len(receiver.received) == 1


async def test_attempts_have_an_end(unused_tcp_port: int) -> None:
    outbox = MemoryOutbox()
    async with receiving(answer(404)) as receiver, sending(outbox, max_attempts=3):
        refused = outbox.add(f"http://127.0.0.1:{receiver.port}/")
        unreachable = outbox.add(f"http://127.0.0.1:{unused_tcp_port}/")
        await until(outbox.settled)
    assert refused.given_up
    assert len(receiver.received) == 3
    assert unreachable.given_up
    assert len(unreachable.problems) == 3


async def test_redirects_are_not_followed() -> None:
    outbox = MemoryOutbox()
    async with receiving(answer(200)) as inner:
        redirect = answer(307, location=f"http://127.0.0.1:{inner.port}/")
        async with receiving(redirect) as receiver, sending(outbox, max_attempts=1):
            entry = outbox.add(f"http://127.0.0.1:{receiver.port}/")
            await until(outbox.settled)
    assert entry.problems == ["the receiver answered 307"]
    assert not inner.received


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "[::1]"])
async def test_own_addresses_are_not_called_unless_allowed(host: str) -> None:
    outbox = MemoryOutbox()
    async with receiving(answer(200)) as receiver, sending(outbox, allowed_networks=()):
        entry = outbox.add(f"http://{host}:{receiver.port}/")
        await until(outbox.settled)
    assert entry.given_up
    assert len(entry.problems) == 1
    assert not receiver.received


async def test_a_huge_answer_is_not_read() -> None:
    outbox = MemoryOutbox()
    gone = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(1 << 16))
        finally:
            gone.set()

    async with receiving(endless) as receiver, sending(outbox):
        entry = outbox.add(f"http://127.0.0.1:{receiver.port}/")
        await until(outbox.settled)
        async with asyncio.timeout(5):
            await gone.wait()
    assert entry.status == 200


async def test_a_slow_receiver_holds_up_no_other() -> None:
    outbox = MemoryOutbox()
    release = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    async with (
        receiving(hang) as slow,
        receiving(answer(200), host="127.0.0.2") as quick,
        sending(outbox, max_concurrency=4, max_concurrency_per_host=2, timeout_seconds=30),
    ):
        hanging = [outbox.add(f"http://127.0.0.1:{slow.port}/") for _ in range(50)]
        prompt = [outbox.add(f"http://127.0.0.2:{quick.port}/") for _ in range(10)]
        await until(lambda: all_over(prompt))
        assert not any(entry.over for entry in hanging)
        assert len(slow.received) == 2
        release.set()
        await until(outbox.settled)
    assert all(entry.status == 200 and entry.pending.attempt == 1 for entry in hanging), "waiting is no attempt"


async def test_a_receiver_that_does_not_answer_runs_into_the_timeout() -> None:
    outbox = MemoryOutbox()

    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with receiving(hang) as receiver, sending(outbox, timeout_seconds=0.1, max_attempts=1):
        entry = outbox.add(f"http://127.0.0.1:{receiver.port}/")
        await until(outbox.settled)
    assert entry.problems == ["'127.0.0.1' did not answer within 0.1 s"]


async def test_a_store_that_comes_back_finds_the_sender_waiting() -> None:
    outbox = MemoryOutbox()

    async def cut(_: web.Request) -> web.StreamResponse:
        outbox.down = True
        return web.Response()

    async with receiving(cut) as receiver, sending(outbox):
        entry = outbox.add(f"http://127.0.0.1:{receiver.port}/")
        await until(lambda: refused(outbox, 3))
        assert not entry.over
        outbox.down = False
        await until(outbox.settled)
    assert entry.status == 200
    assert len(receiver.received) == 1


async def test_a_task_that_runs_again_is_not_told_of() -> None:
    outbox = MemoryOutbox(state=TaskState.TASK_STATE_RUNNING)
    async with receiving(answer(200)) as receiver, sending(outbox):
        entry = outbox.add(f"http://127.0.0.1:{receiver.port}/")
        await until(outbox.settled)
    assert entry.given_up
    assert not receiver.received


async def test_logs_say_what_happened_and_keep_the_rest() -> None:
    outbox = MemoryOutbox()
    with structlog.testing.capture_logs() as lines:
        async with receiving(answer(500), answer(200)) as receiver, sending(outbox):
            outbox.add(f"http://127.0.0.1:{receiver.port}/s3cret?key=s3cret")
            outbox.add("http://10.0.0.1/s3cret")
            outbox.add("s3cret")
            await until(outbox.settled)
    delivered = next(line for line in lines if line["event"] == "webhook delivered")
    assert {key: delivered[key] for key in ("task_id", "host", "status", "attempt")} == {
        "task_id": "task-1",
        "host": "127.0.0.1",
        "status": 200,
        "attempt": 2,
    }
    assert [line["event"] for line in lines].count("webhook given up") == 2
    assert "s3cret" not in repr(lines)
    assert "the report" not in repr(lines)


async def test_a_sender_that_is_stopped_leaves_its_work_to_the_next() -> None:
    outbox = MemoryOutbox()
    arrived = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with receiving(hang, answer(200)) as receiver:
        entry = outbox.add(f"http://127.0.0.1:{receiver.port}/")
        async with sending(outbox, timeout_seconds=30):
            await arrived.wait()
        assert not entry.over
        assert entry.due > time.monotonic() + 30, "leased for longer than a call takes"
        entry.due = 0
        async with sending(outbox):
            await until(outbox.settled)
    assert (entry.status, entry.pending.attempt) == (200, 1)


async def called(receiver: Receiver, times: int) -> bool:
    return len(receiver.received) >= times


async def refused(outbox: MemoryOutbox, times: int) -> bool:
    return outbox.refusals >= times


async def all_over(entries: Sequence[Entry]) -> bool:
    return all(entry.over for entry in entries)


@asynccontextmanager
async def sending(outbox: MemoryOutbox, **changes: object) -> AsyncIterator[None]:
    settings = SETTINGS.model_copy(update=changes)
    async with WebClient(rules=settings.rules(), timeout_seconds=settings.timeout_seconds) as client:
        task = asyncio.create_task(WebhookSender(outbox=outbox, client=client, settings=settings).run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
