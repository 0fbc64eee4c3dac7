"""Chat templates: how a model wants a conversation written, in Jinja as Hugging Face defines it.

They come with models, so with people whom nobody here knows: they run in Jinja's sandbox and see the messages alone.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import Message, Role, ToolDefinition
from troupe.core.errors import TroupeError, invalid
from troupe.inference.backends.schemas import as_json

_ROLES: Final[Mapping["Role.ValueType", str]] = {
    Role.ROLE_SYSTEM: "system",
    Role.ROLE_USER: "user",
    Role.ROLE_ASSISTANT: "assistant",
    Role.ROLE_TOOL: "tool",
}
# What models take as marks of turns: <|im_end|>, <start_of_turn>, </s>, [INST], <<SYS>>.
_MARK: Final = re.compile(r"<<?[/|]?[A-Za-z_][A-Za-z0-9_ ]{0,40}[|]?>>?|\[/?[A-Z][A-Z_]{1,30}\]")
# Nearly every vocabulary has some of this form that its template does not use.
_USUAL_MARK: Final = r"<\|[^<>|\s]{1,40}\|>"
# Joins words and is not seen: it parts the letters of a mark, and nothing else of the text changes.
_WORD_JOINER: Final = "\u2060"


class ChatTemplate:
    """One template, ready to use."""

    def __init__(self, source: str, *, tokens: Mapping[str, str] | None = None, marks: Iterable[str] = ()) -> None:
        """`tokens` are the variables that name tokens, such as `bos_token`; `marks` are more that no text may hold.

        Raises:
            ValueError: the source is no template; the message says where.
        """
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, autoescape=False)
        environment.filters["tojson"] = _to_json
        environment.globals.update(raise_exception=_refuse, strftime_now=_now)
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise ValueError(f"is no chat template: {error}") from None
        self._tokens = dict(tokens or {})
        known = {*_MARK.findall(source), *filter(None, self._tokens.values()), *filter(None, marks)}
        self._marks = re.compile("|".join([_USUAL_MARK, *map(re.escape, sorted(known, key=len, reverse=True))]))

    def render(self, messages: Sequence[Message], *, tools: Sequence[ToolDefinition] = ()) -> str:
        """The text that the model goes on writing at. Marks of turns inside the messages are no marks there.

        Raises:
            TroupeError: INVALID_REQUEST for what the template refuses, MODEL_REFUSED when the template itself fails.
        """
        try:
            return self._template.render(
                messages=[self._message(message) for message in messages],
                tools=[self._neutral_values(_tool(tool)) for tool in tools] or None,
                add_generation_prompt=True,
                **self._tokens,
            )
        except _RefusedError as error:
            raise invalid("messages", f"the model's chat template takes no such conversation: {error}") from None
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
            problem = f"the model's chat template fails: {error}"
            raise TroupeError(ErrorReason.ERROR_REASON_MODEL_REFUSED, problem) from None

    def _message(self, message: Message) -> dict[str, Any]:
        rendered: dict[str, Any] = {"role": _ROLES[message.role], "content": self._neutral(message.text)}
        if message.tool_calls:
            rendered["tool_calls"] = [
                {
                    "id": call.call_id,
                    "type": "function",
                    "function": {
                        "name": call.name,
                        "arguments": self._neutral_values(
                            as_json(call.arguments, field="messages.tool_calls.arguments")
                        ),
                    },
                }
                for call in message.tool_calls
            ]
        if message.tool_call_id:
            rendered["tool_call_id"] = message.tool_call_id
        return rendered

    def _neutral(self, text: str) -> str:
        return self._marks.sub(lambda mark: mark[0][:1] + _WORD_JOINER + mark[0][1:], text)

    def _neutral_values(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._neutral(value)
        if isinstance(value, Mapping):
            return {self._neutral(key): self._neutral_values(inner) for key, inner in value.items()}
        return [self._neutral_values(inner) for inner in value] if isinstance(value, list) else value


class _RefusedError(Exception):
    """The template calls `raise_exception`."""


def _refuse(message: str) -> None:
    raise _RefusedError(message)


def _now(form: str) -> str:
    return datetime.now(UTC).strftime(form)


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": as_json(tool.parameters, field="tools.parameters"),
    }
    return {"type": "function", "function": function}
