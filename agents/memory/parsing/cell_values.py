"""A cell's value as a workbook shows it: percentages, currencies and dates keep their signs. Pure."""

import datetime
import re
from decimal import Decimal
from typing import Final

_QUOTED: Final = re.compile(r'"([^"]*)"|\\(.)|\[\$([^\]-]*)(?:-[^\]]*)?\]')
_IGNORED: Final = re.compile(r"\[[^\]]*\]|_.|\*.")
_DIGITS: Final = re.compile(r"[#0?][#0?,]*(?:\.([0#?]+))?")
_SIGNS: Final = "€$£¥₹₽₩%"


def shown(value: object, number_format: str | None) -> str:
    """The value as text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return _number(value, number_format or "General")
    if isinstance(value, datetime.datetime):
        plain = value.replace(microsecond=0)
        return plain.date().isoformat() if plain.time() == datetime.time() else plain.isoformat(" ")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return " ".join(str(value).split())


def _number(value: float, number_format: str) -> str:
    section = number_format.split(";", maxsplit=1)[0]
    if section in ("General", "@", "") or "E+" in section:
        return _plain(value)
    around = _QUOTED.sub(lambda match: next((part for part in match.groups() if part is not None), ""), section)
    around = _IGNORED.sub("", around)
    digits = _DIGITS.search(around)
    if digits is None:
        return _plain(value)
    percent = "%" in around
    decimals = len(digits[1] or "")
    amount = Decimal(repr(value)) * (100 if percent else 1) if abs(value) < 1e15 else Decimal(value)
    number = f"{amount:,.{decimals}f}" if "," in digits[0] else f"{amount:.{decimals}f}"
    if digits[1] and digits[1].endswith(("#", "?")) and "." in number:
        number = number.rstrip("0").rstrip(".")
    return " ".join(f"{around[: digits.start()]}{number}{around[digits.end() :]}".split())


def _plain(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.15g}"
