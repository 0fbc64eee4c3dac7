"""Stored tasks as messages of the contract."""

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.api.common.v1.error_pb2 import Error
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1.task_pb2 import Plan, StepState, StepStatus, Task, TaskOutput, TaskSpec, TaskState
from troupe.orchestrator.store.tasks import StoredTask

# The answer stays within gRPC's default limit of 4 MiB; the history has every output.
_OUTPUTS_BYTES: Final = 1 << 20


def task_message(stored: StoredTask, *, whole: bool) -> Task:
    """The task; `whole` adds its plan, steps and output."""
    row = stored.row
    task = Task(
        task_id=stored.task_id,
        project=stored.base.project,
        state=TaskState.ValueType(row.state),
        spec=TaskSpec.FromString(stored.fields["spec"]),
        create_time=_time(stored.base.created),
        start_time=_time(row.started),
        end_time=_time(row.ended),
        last_sequence=row.sequence,
    )
    if error := stored.fields.get("error"):
        task.error.CopyFrom(Error.FromString(error))
    if whole:
        task.plan.CopyFrom(Plan.FromString(stored.fields["plan"]))
        room = _OUTPUTS_BYTES
        for step_id in stored.order:
            output = stored.output(step_id)
            room -= len(output)
            task.steps.append(_step_status(stored, step_id, output if room >= 0 else b""))
        if (producer := stored.fields.get("result")) is not None:
            produced = StepOutput.FromString(stored.output(producer.decode()))
            task.output.CopyFrom(task_output(produced))
    return task


def task_output(output: StepOutput) -> TaskOutput:
    """What a task produced: what its last step did, as far as it is for people."""
    return TaskOutput(text=output.text, media_type=output.media_type, citations=output.citations)


def _step_status(stored: StoredTask, step_id: str, output: bytes) -> StepStatus:
    row, base = stored.step(step_id)
    status = StepStatus(
        step=Step.FromString(base.message),
        state=StepState.ValueType(row.state),
        attempt=row.attempt,
        start_time=_time(row.started),
        end_time=_time(row.ended),
    )
    if error := stored.fields.get(f"{step_id}:error"):
        status.error.CopyFrom(Error.FromString(error))
    if output:
        status.output.CopyFrom(StepOutput.FromString(output))
    return status


def _time(milliseconds: int) -> Timestamp | None:
    if not milliseconds:
        return None
    time = Timestamp()
    time.FromMilliseconds(milliseconds)
    return time
