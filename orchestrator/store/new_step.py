"""A step as it is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from troupe.api.common.v1.step_pb2 import Step
from troupe.orchestrator.store.schema import StepBase


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
        base = StepBase(
            agent=self.agent,
            depends_on=",".join(self.depends_on),
            approval=self.approval or "",
            message=self.message,
        )
        return {"id": self.step_id, "base": base}
