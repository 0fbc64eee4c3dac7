"""Requests and responses of the Gemini API, as dictionaries that google-genai takes and objects that it gives."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from troupe.api.inference.v1.inference_service_pb2 import FinishReason, GenerateRequest, Message, Role, ToolCall
from troupe.inference.backends.schemas import as_json

_REASONS: Final[Mapping[str, "FinishReason.ValueType"]] = {
    "STOP": FinishReason.FINISH_REASON_STOP,
    "MAX_TOKENS": FinishReason.FINISH_REASON_LENGTH,
}


def contents(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The turns; system texts go into the configuration."""
    names = {call.call_id: call.name for message in messages for call in message.tool_calls}
    return [
        {"role": "model" if m.role == Role.ROLE_ASSISTANT else "user", "parts": _parts(m, names)}
        for m in messages
        if m.role != Role.ROLE_SYSTEM
    ]


def configuration(request: GenerateRequest) -> dict[str, Any]:
    """The fields of `GenerateContentConfig`."""
    sampling = request.sampling
    config: dict[str, Any] = {"automatic_function_calling": {"disable": True}}
    if system := "\n\n".join(m.text for m in request.messages if m.role == Role.ROLE_SYSTEM):
        config["system_instruction"] = system
    if sampling.max_output_tokens:
        config["max_output_tokens"] = sampling.max_output_tokens
    if sampling.stop:
        config["stop_sequences"] = list(sampling.stop)
    for name in ("temperature", "top_p", "seed"):
        if sampling.HasField(name):
            config[name] = getattr(sampling, name)
    if request.tools:
        config["tools"] = [{"function_declarations": [_declaration(tool) for tool in request.tools]}]
    if request.HasField("response_schema"):
        config["response_mime_type"] = "application/json"
        config["response_json_schema"] = as_json(request.response_schema, field="response_schema")
    return config


def finish_reason(chunk: Any) -> "FinishReason.ValueType | None":
    """Why the model ended, None while it has not."""
    if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason is not None:
        return FinishReason.FINISH_REASON_BLOCKED
    for candidate in chunk.candidates or ():
        if candidate.finish_reason is not None:
            return _REASONS.get(candidate.finish_reason.value, FinishReason.FINISH_REASON_BLOCKED)
    return None


def text_and_calls(chunk: Any) -> tuple[str, list[ToolCall]]:
    """What a chunk adds; thoughts are left out."""
    text, calls = "", []
    for candidate in (chunk.candidates or ())[:1]:
        for part in (candidate.content.parts or ()) if candidate.content else ():
            if part.text and not part.thought:
                text += part.text
            if part.function_call is not None:
                calls.append(_call(part.function_call))
    return text, calls


def token_counts(chunk: Any) -> tuple[int, int] | None:
    """Tokens read and written, thoughts among the latter; they are totals."""
    usage = chunk.usage_metadata
    if usage is None:
        return None
    return usage.prompt_token_count or 0, (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)


def _parts(message: Message, names: Mapping[str, str]) -> list[dict[str, Any]]:
    if message.role == Role.ROLE_TOOL:
        name = names.get(message.tool_call_id, message.tool_call_id)
        return [{"function_response": {"name": name, "response": {"result": message.text}}}]
    parts: list[dict[str, Any]] = [{"text": message.text}] if message.text else []
    parts += [{"function_call": {"name": c.name, "args": _arguments(c)}} for c in message.tool_calls]
    return parts


def _arguments(call: ToolCall) -> dict[str, Any]:
    return as_json(call.arguments, field="messages.tool_calls.arguments")


def _declaration(tool: Any) -> dict[str, Any]:
    declaration = {"name": tool.name, "description": tool.description}
    if tool.HasField("parameters"):
        declaration["parameters_json_schema"] = as_json(tool.parameters, field="tools.parameters")
    return declaration


def _call(call: Any) -> ToolCall:
    arguments = ParseDict(dict(call.args or {}), Struct())
    return ToolCall(call_id=call.id or "", name=call.name or "", arguments=arguments)
