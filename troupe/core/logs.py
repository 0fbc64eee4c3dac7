"""Structured logs: one JSON object a line, with the ids of the work that the line belongs to.

Prompts, completions, documents and secrets are never logged.
"""

import io
import logging
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

import structlog
from opentelemetry import trace
from structlog.typing import FilteringBoundLogger

from troupe.core.settings import ServiceSettings
from troupe.core.terminal_text import terminal_line, terminal_text

_BOUND: ContextVar[Mapping[str, str | int]] = ContextVar("bound", default=MappingProxyType({}))
_OF_LINES: Final = ("exception", "stack")


class LogSettings(ServiceSettings):
    """How processes log."""

    section: ClassVar[str] = "log"

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


def configure(service: str, settings: LogSettings) -> None:
    """Sends the logs of this process, and those of libraries, to standard output."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]

    def name_service(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        return event

    shared: list[structlog.typing.Processor] = [
        _name_work,
        _name_trace,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        name_service,
    ]
    rendering: Sequence[structlog.typing.Processor] = (
        [structlog.processors.EventRenamer("message"), structlog.processors.JSONRenderer()]
        if settings.format == "json"
        else [_make_safe, structlog.dev.ConsoleRenderer()]
    )
    if isinstance(sys.stdout, io.TextIOWrapper):  # what it cannot show shall end no call that logs
        sys.stdout.reconfigure(errors="backslashreplace")
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    handler.addFilter(_is_worth_a_line)
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Whether anybody can do something about it: not about a caller who left while a stream was written to.

    gRPC tells that with a traceback where it notices before the call's end has reached it (grpcio 1.81,
    `_handle_exceptions`).
    """
    return not (record.name.startswith("grpc") and str(record.msg).startswith("ExecuteBatchError raised in core"))


def _make_safe(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Makes a record safe for a terminal, and one line but for its traceback. JSON escapes by itself."""
    for name, value in event.items():
        if name in _OF_LINES:
            event[name] = terminal_text(str(value))
        elif not isinstance(value, int | float):
            event[name] = terminal_line(value if isinstance(value, str) else repr(value))
    return event


def _name_trace(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = f"{span.trace_id:032x}"
        event["span_id"] = f"{span.span_id:016x}"
    return event


def get_logger() -> FilteringBoundLogger:
    """The logger; what `bound` holds stands in every line."""
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


def _name_work(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in _BOUND.get().items():
        event.setdefault(name, value)
    return event


class bound:  # noqa: N801 - a context manager, named as it is used
    """Adds values to every line that is logged inside, in this asyncio task and those that it starts.

    One variable for all values: structlog's own takes one each, which every call and every step would pay for.
    """

    __slots__ = ("_token", "_values")

    def __init__(self, **values: str | int) -> None:
        self._values = values

    def __enter__(self) -> None:
        self._token = _BOUND.set({**_BOUND.get(), **self._values})

    def __exit__(self, *_: object) -> None:
        with suppress(ValueError):  # a stream that gRPC gave up is closed by the loop, in a context of its own
            _BOUND.reset(self._token)
