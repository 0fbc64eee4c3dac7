"""Renders a conversation as the text that a model on Triton reads."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import Message, Role
from troupe.core.errors import TroupeError
from troupe.inference.backends.chat_templates import ChatTemplate
from troupe.inference.backends.triton.client import TritonClient
from troupe.inference.backends.triton.model import TritonModel

# Of the parameters in a model's `config.pbtxt`.
_TEMPLATE: Final = "chat_template"
_TOKENS: Final = ("bos_token", "eos_token")
_MARKS: Final = "control_tokens"
_LABELS: Final[Mapping["Role.ValueType", str]] = {
    Role.ROLE_ASSISTANT: "Assistant: ",
    Role.ROLE_TOOL: "Tool: ",
}


class Prompts:
    """The chat templates of one Triton's models: a setting's, else the model repository's, else none."""

    def __init__(self, client: TritonClient, models: Mapping[str, TritonModel]) -> None:
        self._client = client
        self._models = models
        self._templates: dict[str, ChatTemplate | None] = {}

    async def render(self, model: str, messages: Sequence[Message]) -> str:
        """The text; plain where the model has no template, or only quotes.

        Raises:
            TroupeError: MODEL_UNAVAILABLE, MODEL_REFUSED for a template that is none, INVALID_REQUEST for messages that
                it does not take.
        """
        if model not in self._templates:
            self._templates[model] = await self._template(model)
        template = self._templates[model]
        return template.render(messages) if template is not None else plain(messages)

    async def _template(self, model: str) -> ChatTemplate | None:
        settings = self._models[model]
        if settings.extractive:
            return None
        parameters = await self._client.parameters(model)
        source = settings.chat_template or parameters.get(_TEMPLATE)
        if not source:
            return None
        tokens = {name: parameters[name] for name in _TOKENS if name in parameters}
        try:
            return ChatTemplate(source, tokens=tokens, marks=json.loads(parameters.get(_MARKS, "[]")))
        except (ValueError, TypeError) as error:
            problem = f"model `{model}`: the parameters `{_TEMPLATE}` and `{_MARKS}` of its config.pbtxt: {error}"
            raise TroupeError(ErrorReason.ERROR_REASON_MODEL_REFUSED, problem, metadata={"model": model}) from None


def plain(messages: Sequence[Message]) -> str:
    """System texts first, then the turns in their order, with an empty line between; empty texts are left out."""
    ordered = [m for m in messages if m.role == Role.ROLE_SYSTEM] + [m for m in messages if m.role != Role.ROLE_SYSTEM]
    return "\n\n".join(_LABELS.get(message.role, "") + message.text for message in ordered if message.text)
