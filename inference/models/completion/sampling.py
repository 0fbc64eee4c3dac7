"""vLLM's SamplingParams as what llama.cpp's server takes.

Field names: `vllm.SamplingParams`, and the README of `tools/server` in llama.cpp under `POST /completion`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

_SAME_NAME: Final = ("temperature", "top_p", "top_k", "min_p", "seed", "presence_penalty", "frequency_penalty", "stop")
_OTHER_NAME: Final = {"max_tokens": "n_predict", "repetition_penalty": "repeat_penalty"}
# Parameters that say how vLLM works, not what it answers; and those that ask for what every answer is.
_OF_NO_EFFECT: Final = ("ignore_eos", "skip_special_tokens", "detokenize", "output_kind", "truncate_prompt_tokens")
_NUMBERS: Final = ("temperature", "top_p", "top_k", "min_p", "seed", "max_tokens", "repetition_penalty")
_BOUND: Final = ("structured_outputs", "guided_decoding")
# llguidance lets a model write spaces for ever otherwise, and a weak one does.
_TIGHT: Final = {"x-guidance": {"whitespace_flexible": False}}


def completion_request(prompt: str, parameters: Mapping[str, Any], *, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a completion that streams, with its progress through the prompt.

    Raises:
        ValueError: a parameter that this model does not have, or a value that it does not take.
    """
    request: dict[str, Any] = {"prompt": prompt, "stream": True, "return_progress": True, **defaults}
    for name, value in parameters.items():
        if value is None or name in _OF_NO_EFFECT:
            continue
        if name in _NUMBERS and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"sampling parameter `{name}` must be a number, and is {value!r:.80}")
        if name in _SAME_NAME:
            request[name] = value
        elif name in _OTHER_NAME:
            request[_OTHER_NAME[name]] = value
        elif name in _BOUND:
            request.update(_grammar(name, value))
        else:
            raise ValueError(f"sampling parameter `{name}` is none that this model has")
    request["stop"] = _stop(request.get("stop") or ())
    if request["n_predict"] < 1:
        raise ValueError(f"sampling parameter `max_tokens` must be at least 1, and is {request['n_predict']}")
    return request


def _stop(stop: Any) -> list[str]:
    stops = [stop] if isinstance(stop, str) else list(stop) if isinstance(stop, Sequence) else [None]
    if not all(isinstance(text, str) for text in stops):
        raise ValueError("sampling parameter `stop` must be a text or a list of texts")
    return [text for text in stops if text]


def _grammar(name: str, value: Any) -> dict[str, Any]:
    """VLLM's backend reads a text here, with JSON in it that has one of `json`, `choice`, `grammar`."""
    try:
        given = json.loads(value)
    except (TypeError, ValueError):
        raise ValueError(f"sampling parameter `{name}` must be a text that is JSON") from None
    if not isinstance(given, dict) or len(given) != 1:
        raise ValueError(f"sampling parameter `{name}` must have one of `json`, `choice`, `grammar`")
    ((kind, wanted),) = given.items()
    if kind == "json":
        schema = json.loads(wanted) if isinstance(wanted, str) else wanted
        return {"json_schema": {**schema, **_TIGHT}}
    if kind == "choice":
        return {"grammar": "root ::= " + " | ".join(json.dumps(str(choice)) for choice in wanted)}
    if kind == "grammar":
        return {"grammar": wanted}
    raise ValueError(f"sampling parameter `{name}` has {kind!r}; this model takes `json`, `choice` and `grammar`")
