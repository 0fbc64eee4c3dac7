"""`troupe generate`."""

import contextlib
from pathlib import Path
from typing import Annotated, Final

import typer
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from troupe.api.inference.v1.inference_service_pb2 import (
    FinishReason,
    GenerateRequest,
    GenerateResponse,
    Message,
    Role,
    Sampling,
)
from troupe.cli.arguments import some_path
from troupe.cli.json_lines import print_json
from troupe.cli.options import JsonOption, ModelOption, requested
from troupe.cli.session import COMPLETED, TASK_FAILED, fail, finish
from troupe.cli.streams import note, say_part
from troupe.cli.target import inference_address
from troupe.client import Models
from troupe.client.errors import is_unreachable
from troupe.core.errors import TroupeError

_BROKEN_OFF: Final = {
    FinishReason.FINISH_REASON_LENGTH: "the answer ends here as it came to its most tokens; --max-tokens allows more",
    FinishReason.FINISH_REASON_BLOCKED: "the provider of the model withheld the answer",
}


def command(
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="What to say to the model; - reads it from standard input.")
    ],
    model: ModelOption = "",
    system: Annotated[str, typer.Option("--system", help="Standing instructions.", show_default=False)] = "",
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=0, help="Most tokens; 0: the model's own.")] = 0,
    temperature: Annotated[float | None, typer.Option("--temperature", min=0, max=2, show_default=False)] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same gives the same text.", show_default=False)
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option("--stop", help="A text to stop at; repeatable.", show_default=False)
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option(
            "--schema",
            metavar="FILE",
            parser=some_path,
            help="A JSON Schema that the answer must follow.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    inference: Annotated[
        str | None,
        typer.Option(
            "--inference",
            metavar="HOST:PORT",
            help="The inference service. Else TROUPE_CLIENT__INFERENCE_ADDRESS, the local stack, 127.0.0.1:50053.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Ask a model, without a task around it, and print its answer as it comes. `troupe models` lists them."""
    messages = [Message(role=Role.ROLE_SYSTEM, text=system)] if system else []
    messages.append(Message(role=Role.ROLE_USER, text=requested(text)))
    sampling = Sampling(max_output_tokens=max_tokens, temperature=temperature, seed=seed, stop=stop or [])
    request = GenerateRequest(model=model, messages=messages, sampling=sampling)
    if schema is not None:
        request.response_schema.CopyFrom(_schema(schema))
    finish(_generate(request, inference_address(inference), as_json=as_json))


async def _generate(request: GenerateRequest, address: str, *, as_json: bool) -> int:
    end = GenerateResponse()
    async with Models(address) as models:
        try:
            async with contextlib.aclosing(models.generate(request)) as answer:
                async for response in answer:
                    if as_json:
                        print_json(response)
                    elif response.text_delta:
                        say_part(response.text_delta)
                    end = response
        except TroupeError as error:
            if not is_unreachable(error):
                raise
            fail(f"{error.message}: start one with `troupe up`, or name another with --inference")
    if not as_json:
        say_part("\n")
        _tell_end(end)
    return COMPLETED if end.finish.reason == FinishReason.FINISH_REASON_STOP else TASK_FAILED


def _tell_end(end: GenerateResponse) -> None:
    usage = end.finish.usage
    if said := _BROKEN_OFF.get(end.finish.reason):
        note(f"troupe: {said}")
    note(f"{usage.model}: {usage.input_tokens} tokens read, {usage.output_tokens} written")


def _schema(path: Path) -> Struct:
    try:
        return json_format.Parse(path.read_text(encoding="utf-8-sig"), Struct())
    except OSError as error:
        fail(f"--schema {str(path)!r} cannot be read: {error.strerror}")
    except (UnicodeDecodeError, json_format.ParseError):
        fail(f"--schema {str(path)!r} is not a JSON object")
