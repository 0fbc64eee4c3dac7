"""Structured logs: one JSON object a line, with the ids of the work that the line belongs to.

Prompts, completions, documents and secrets are never logged.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import structlog
from opentelemetry import trace
from structlog.typing import FilteringBoundLogger

from troupe.core.settings import ServiceSettings

_BOUND: ContextVar[Mapping[str, str | int]] = ContextVar("bound", default=MappingProxyType({}))


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
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if settings.format == "json" else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.processors.EventRenamer("message"), renderer]
        if settings.format == "json"
        else [*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)


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
