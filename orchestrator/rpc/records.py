"""Stored tasks as messages of the contract."""

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from orchestrator.store.tasks import StoredTask
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.api.common.v1.error_pb2 import Error
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1.task_pb2 import Plan, StepState, StepStatus, Task, TaskOutput, TaskSpec, TaskState

# The answer stays within gRPC's default limit of 4 MiB; the history has every output.
_OUTPUTS_BYTES: Final = 1 << 20


def task_message(stored: StoredTask, *, whole: bool) -> Task:
    """The task; `whole` adds its plan, steps and output."""
    fields = stored.fields
    task = Task(
        task_id=stored.task_id,
        project=fields["project"].decode(),
        state=TaskState.ValueType(int(fields["state"])),
        spec=TaskSpec.FromString(fields["spec"]),
        create_time=_time(fields["created"]),
        start_time=_time(fields.get("started")),
        end_time=_time(fields.get("ended")),
        last_sequence=stored.last_sequence,
    )
    if error := fields.get("error"):
        task.error.CopyFrom(Error.FromString(error))
    if whole:
        task.plan.CopyFrom(Plan.FromString(fields["plan"]))
        room = _OUTPUTS_BYTES
        for step_id in fields["order"].decode().split(","):
            output = stored.outputs.get(step_id, b"")
            room -= len(output)
            task.steps.append(_step_status(stored, step_id, output if room >= 0 else b""))
        if task.state == TaskState.TASK_STATE_COMPLETED:
            task.output.CopyFrom(TaskOutput.FromString(fields.get("result", b"")))
    return task


def _step_status(stored: StoredTask, step_id: str, output: bytes) -> StepStatus:
    def value(name: str) -> bytes | None:
        return stored.fields.get(f"{step_id}:{name}")

    status = StepStatus(
        step=Step.FromString(value("sp") or b""),
        state=StepState.ValueType(int(value("st") or 0)),
        attempt=int(value("at") or 0),
        start_time=_time(value("ss")),
        end_time=_time(value("se")),
    )
    if error := value("er"):
        status.error.CopyFrom(Error.FromString(error))
    if output:
        status.output.CopyFrom(StepOutput.FromString(output))
    return status


def _time(milliseconds: bytes | None) -> Timestamp | None:
    if milliseconds is None:
        return None
    time = Timestamp()
    time.FromMilliseconds(int(milliseconds))
    return time
