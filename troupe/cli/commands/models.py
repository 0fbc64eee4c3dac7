"""`troupe models`."""

from collections.abc import Sequence
from decimal import Decimal

from rich.table import Table
from rich.text import Text

from troupe.api.inference.v1.inference_service_pb2 import Model, ModelKind
from troupe.cli.console import SafeConsole
from troupe.cli.json_lines import print_json
from troupe.cli.options import JsonOption, TargetOption
from troupe.cli.session import COMPLETED, with_client
from troupe.cli.streams import say, say_line
from troupe.client import TroupeClient


def command(as_json: JsonOption = False, target: TargetOption = None) -> None:
    """List the models of the deployment, with what a million tokens of each cost."""

    async def work(client: TroupeClient) -> int:
        models = await client.models()
        if as_json:
            for model in models:
                print_json(model)
        elif models:
            _print(models, SafeConsole())
        else:
            say("no models: none is in the setting `backends` of the inference service")
        return COMPLETED

    with_client(target, work)


def _print(models: Sequence[Model], console: SafeConsole) -> None:
    if console.is_terminal:
        console.print(_table(models))
        return
    for model in models:
        cells = (model.name, _kind(model), _state(model), model.backend_name, _price(model), model.description)
        say_line("\t".join(" ".join(cell.split()) for cell in cells))


def _kind(model: Model) -> str:
    if model.kind == ModelKind.MODEL_KIND_EMBEDDER:
        return f"embedder, {model.dimensions} dimensions"
    return "generator that quotes" if model.extractive else "generator"


def _state(model: Model) -> str:
    return ("ready" if model.ready else "away") + (", default" if model.default else "")


def _price(model: Model) -> str:
    micros = (model.input_price_usd_micros_per_million_tokens, model.output_price_usd_micros_per_million_tokens)
    return " / ".join(f"${Decimal(price) / 1_000_000:.2f}" for price in micros) if any(micros) else ""


def _table(models: Sequence[Model]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("model", "kind", "state", "backend"):
        table.add_column(heading, no_wrap=True)
    if priced := any(map(_price, models)):
        table.add_column("in / out per million", no_wrap=True)
    table.add_column("what to know")
    for model in models:
        state = Text(_state(model), style="green" if model.ready else "red")
        price = [_price(model)] if priced else []
        table.add_row(model.name, _kind(model), state, model.backend_name, *price, Text(model.description))
    return table
