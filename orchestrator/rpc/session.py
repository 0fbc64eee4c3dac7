"""A session: one stream that submits many tasks and follows all of them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Final

from troupe.api.buf.validate import validate_pb2
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.core.background import stop
from troupe.core.errors import TroupeError, invalid
from troupe.core.validation import check_rules
from troupe.orchestrator.intake.submission import Submission
from troupe.orchestrator.planner.planning import check_size_of_plan
from troupe.orchestrator.watch.feed import Feed

# Submissions whose results are not sent yet before the stream is no longer read.
_UNANSWERED: Final = 512
# Batches of events that wait to be sent; what is more waits in the feed, which is bounded.
_BATCHES: Final = 2

_SUBMISSIONS: Final = pb.RunTasksRequest.DESCRIPTOR.fields_by_name["submissions"]
_MOST_SUBMISSIONS: Final = _SUBMISSIONS.GetOptions().Extensions[validate_pb2.field].repeated.max_items


class Session:
    """Use `responses` once; what it was following is forgotten at its end."""

    def __init__(self, *, submission: Submission, feed: Feed) -> None:
        self._submission = submission
        self._feed = feed
        self._room = asyncio.Semaphore(_UNANSWERED)
        self._submitting = 0
        self._closed = False
        self._results: list[pb.SubmissionResult] = []
        self._losses: list[pb.SubmissionResult] = []  # of tasks whose submission was answered long ago
        self._batches: asyncio.Queue[Sequence[bytes]] = asyncio.Queue(_BATCHES)
        self._filled = asyncio.Event()

    async def responses(self, requests: AsyncIterator[pb.RunTasksRequest]) -> AsyncGenerator[bytes, None]:
        """Encoded `RunTasksResponse`s, until the caller has closed its side and every task has ended.

        Raises:
            TroupeError: STORE_UNAVAILABLE, SERVER_DRAINING; the caller comes back with the same `request_id`s.
        """
        reading = asyncio.create_task(self._read(requests))
        following = asyncio.create_task(self._follow())
        try:
            while True:
                self._filled.clear()
                for task in (reading, following):
                    if task.done():
                        task.result()
                done = self._closed and not self._submitting and not len(self._feed)
                message, answered = self._message()
                if message:
                    yield message
                    for _ in range(answered):
                        self._room.release()
                elif done:
                    return
                else:
                    await self._filled.wait()
        finally:
            self._feed.close()
            await stop(reading, following)

    async def _read(self, requests: AsyncIterator[pb.RunTasksRequest]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                async for request in requests:
                    _check_count(request)
                    for submission in request.submissions:
                        await self._room.acquire()
                        self._submitting += 1
                        group.create_task(self._submit(submission))
                self._closed = True
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._filled.set()

    async def _submit(self, submission: pb.TaskSubmission) -> None:
        result = pb.SubmissionResult(request_id=submission.request_id)
        try:
            result.task_id = await self._accept(submission)
        except TroupeError as error:
            result.error.CopyFrom(error.to_proto())
        self._results.append(result)
        self._submitting -= 1
        self._filled.set()

    async def _accept(self, submission: pb.TaskSubmission) -> str:
        if not submission.request_id:
            raise invalid("submissions.request_id", "must be set: the result is found by it")
        terminal_only = submission.events == pb.EVENT_SELECTION_TERMINAL
        new = self._submission.new_task_id(submission.request_id)
        self._feed.follow(new, terminal_only=terminal_only, unsubmitted=True)
        try:
            check_size_of_plan(submission)
            check_rules(pb.SubmitTaskRequest(task=submission.task, request_id=submission.request_id))
            task_id = await self._submission.submit(submission.task, submission.request_id, new)
        except BaseException:
            self._feed.forget(new)
            raise
        if task_id == new:
            self._feed.submitted(new)
        else:  # it attaches to an earlier one
            self._feed.forget(new)
            self._feed.follow(task_id, terminal_only=terminal_only)
        return task_id

    async def _follow(self) -> None:
        try:
            async for items in self._feed:
                self._losses += [
                    pb.SubmissionResult(task_id=item.task_id, error=item.error.to_proto())
                    for item in items
                    if item.error is not None
                ]
                await self._batches.put([item.frames for item in items])
                self._filled.set()
        finally:
            self._filled.set()

    def _message(self) -> tuple[bytes, int]:
        """What is ready: a batch of events and all results, and how many submissions these answer."""
        frames = b"" if self._batches.empty() else b"".join(self._batches.get_nowait())
        results, losses = self._results, self._losses
        self._results, self._losses = [], []
        if results or losses:
            frames += pb.RunTasksResponse(results=[*results, *losses]).SerializeToString()
        return frames, len(results)


def _check_count(request: pb.RunTasksRequest) -> None:
    """The only rule of the message itself; those of a submission concern that one alone."""
    if (count := len(request.submissions)) > _MOST_SUBMISSIONS:
        raise invalid("submissions", f"must have at most {_MOST_SUBMISSIONS} items, not {count}; send several messages")
