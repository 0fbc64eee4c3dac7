"""A step as it is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from troupe.api.common.v1.step_pb2 import Step


@dataclass(frozen=True, slots=True)
class NewStep:
    """A step to be stored. `approval` says what a person is asked; None: nobody is asked."""

    step_id: str
    agent: str
    message: bytes
    depends_on: Sequence[str]
    approval: str | None

    @classmethod
    def of(cls, step: Step) -> "NewStep":
        """The step of a plan."""
        asked = (step.title or step.instruction[:200]) if step.requires_approval else None
        return cls(step.step_id, step.agent, step.SerializeToString(), list(step.depends_on), asked)

    def arguments(self) -> Mapping[str, Any]:
        """The step as the script takes it."""
        fields = {"id": self.step_id, "agent": self.agent, "message": self.message, "deps": ",".join(self.depends_on)}
        return fields if self.approval is None else {**fields, "approval": self.approval}
