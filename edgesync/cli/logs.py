"""Logging: lines for people on a terminal, JSON elsewhere; secrets never."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

# Whatever a careless caller binds under such a name is not printed.
SECRET_KEYS = frozenset({"password", "token", "secret", "x-auth-token", "x-subject-token", "authorization", "headers"})


def set_up_logs(*, level: str, form: str) -> None:
    """`form` is auto, json or console; logs go to stderr."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    common: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_secrets,
    ]
    last = _for_people() if console else _for_machines()
    structlog.configure(
        processors=[*common, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # Libraries that log by themselves: only what needs attention, in the same form.
    handler = logging.StreamHandler(sys.stderr)
    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=common, processors=[meta, *last]))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


# Neither shows the variables of a traceback's frames: tokens and passwords are among them.
def _for_people() -> list[structlog.typing.Processor]:
    formatter = structlog.dev.RichTracebackFormatter(show_locals=False)
    return [structlog.dev.ConsoleRenderer(exception_formatter=formatter)]


def _for_machines() -> list[structlog.typing.Processor]:
    transformer = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(transformer), structlog.processors.JSONRenderer()]


def _without_secrets(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in event:
        if key.lower() in SECRET_KEYS:
            event[key] = "***"
    return event
