"""Options that say what a task is to be, as the contract has it."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

import typer

from troupe.api.orchestrator.v1.task_pb2 import Budget, Plan, Priority
from troupe.cli.options import parse_duration
from troupe.cli.streams import InputError, read_input
from troupe.core.errors import TroupeError
from troupe.core.json_messages import read_json
from troupe.core.nearest import suggestion

PRIORITIES: Final = {
    "low": Priority.PRIORITY_LOW,
    "normal": Priority.PRIORITY_NORMAL,
    "high": Priority.PRIORITY_HIGH,
}
_MAX_PLAN_BYTES: Final = 4 << 20
_AMOUNT: Final = re.compile(r"(?P<dollar>\$)?(?P<number>[0-9][0-9_]*(?:\.[0-9]+)?)\s*(?P<unit>[a-z]*)")
_TOKENS: Final = ("t", "token", "tokens")
_MONEY: Final = ("usd",)
_MOST: Final = 10**12  # as the contract of `Budget` has it


def read_plan(path: Path) -> Plan:
    """The plan in a file of JSON, as `troupe plan --json` prints it; `-` is standard input.

    Raises:
        InputError: there is none.
    """
    what = "the plan" if str(path) == "-" else f"the plan {str(path)!r}"
    try:
        return read_json(_text_of(path, what), Plan())
    except TroupeError as error:
        raise InputError(f"{what} is wrong: {error.message}") from None


def parse_labels(options: Iterable[str], *, option: str = "--label") -> dict[str, str]:
    """`KEY=VALUE` each."""
    labels: dict[str, str] = {}
    for text in options:
        key, sign, value = text.partition("=")
        if not (sign and key):
            raise typer.BadParameter(f"{text!r} is no KEY=VALUE, such as team=research", param_hint=option)
        if labels.setdefault(key, value) != value:
            raise typer.BadParameter(f"{key!r} is given twice, with different values", param_hint=option)
    return labels


def parse_priority(text: str) -> "Priority.ValueType":
    """`low`, `normal` or `high`."""
    if text not in PRIORITIES:
        raise typer.BadParameter(
            f"{text!r} is none of {', '.join(PRIORITIES)}; {suggestion(text, PRIORITIES)}", param_hint="--priority"
        )
    return PRIORITIES[text]


def parse_budget(options: Sequence[str]) -> Budget:
    """Tokens, such as `20000tokens`, and money, such as `0.50usd`; each at most once."""
    budget = Budget()
    for text in (part for option in options for part in option.split(",")):
        tokens, micros = _bound(text.strip())
        if (tokens and budget.max_tokens) or (micros and budget.max_cost_usd_micros):
            raise typer.BadParameter(f"{text!r} bounds what is bounded already", param_hint="--budget")
        budget.max_tokens += tokens
        budget.max_cost_usd_micros += micros
    return budget


def parse_moment(text: str, *, option: str, now: datetime) -> datetime:
    """How long ago, such as `90m` or `2d`, or a date or time such as `2026-01-31` or `2026-01-31T12:00`, of here."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):  # a time at the ends of the calendar is none here
        try:
            return now - parse_duration(text)
        except (typer.BadParameter, OverflowError):
            raise typer.BadParameter(
                f"{text!r} is neither a time ago, such as 2h or 7d, nor a date or time, such as 2026-01-31T12:00",
                param_hint=option,
            ) from None


def _bound(text: str) -> tuple[int, int]:
    """Tokens, or millionths of a dollar."""
    found = _AMOUNT.fullmatch(text.lower())
    unit = found["unit"] if found else ""
    if found and unit in _TOKENS and not found["dollar"] and "." not in found["number"]:
        amount = int(found["number"].replace("_", ""))
        if 0 < amount <= _MOST:
            return amount, 0
    if found and (unit in _MONEY or (found["dollar"] and not unit)):
        micros = _micros(found["number"])
        if micros:
            return 0, micros
    raise typer.BadParameter(
        f"{text!r} is no budget: give tokens, such as 20000tokens, or money, such as 0.50usd; above zero, and money to"
        " the millionth of a dollar",
        param_hint="--budget",
    )


def _micros(number: str) -> int:
    try:
        micros = Decimal(number.replace("_", "")) * 1_000_000
    except InvalidOperation:
        return 0
    return int(micros) if micros == micros.to_integral_value() and micros <= _MOST else 0


def _text_of(path: Path, what: str) -> str:
    if str(path) == "-":
        return read_input(what, max_bytes=_MAX_PLAN_BYTES)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_PLAN_BYTES + 1)
    except OSError as error:
        raise InputError(f"{what} cannot be read: {error.strerror}") from None
    if len(data) > _MAX_PLAN_BYTES:
        raise InputError(f"{what} is longer than {_MAX_PLAN_BYTES:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{what} is not UTF-8") from None
