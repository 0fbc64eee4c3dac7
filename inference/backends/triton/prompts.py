"""Renders a conversation as the text that a model behind the vLLM contract reads."""

from collections.abc import Mapping, Sequence
from typing import Final

from troupe.api.inference.v1.inference_service_pb2 import Message, Role

_LABELS: Final[Mapping["Role.ValueType", str]] = {
    Role.ROLE_ASSISTANT: "Assistant: ",
    Role.ROLE_TOOL: "Tool: ",
}


def render(messages: Sequence[Message]) -> str:
    """System texts first, then the turns in their order, with an empty line between; empty texts are left out."""
    ordered = [m for m in messages if m.role == Role.ROLE_SYSTEM] + [m for m in messages if m.role != Role.ROLE_SYSTEM]
    return "\n\n".join(_LABELS.get(message.role, "") + message.text for message in ordered if message.text)
