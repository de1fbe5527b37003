"""Events, not sentences: log.info("job.done", job=7, seconds=3.1). UIDs may appear, a patient's name, ID or birth date never."""

import errno
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

import structlog

from cad_node.errors import CadNodeError

# What these libraries log and warn of quotes the values they complain of: a name, an ID, a birth date.
_QUOTING_LIBRARIES = ("pynetdicom", "pydicom", "highdicom", "PIL")


def configure_logging(level: str = "info", json: bool = False) -> None:
    """Send events to standard error, as lines for people or as JSON for a collector."""
    to_lines = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_rendered),
            structlog.processors.JSONRenderer() if json else to_lines,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    for library in _QUOTING_LIBRARIES:
        logging.getLogger(library).setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")


get_logger = structlog.get_logger


def _rendered(exc_info: Any) -> str:  # Any: structlog's ExcInfo, or its tuple of None
    """Types and places of an exception and its causes; the message only where it is ours, others may quote a data set."""
    error = exc_info[1] if exc_info else None
    return "\ncaused by ".join("\n".join([_named(cause), *_places(cause)]) for cause in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()  # causes can go in a circle
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _named(error: BaseException) -> str:
    kind = type(error).__name__
    if isinstance(error, CadNodeError):
        return f"{kind}: {error}"
    return f"{kind} {errno.errorcode.get(error.errno or 0, '')}".rstrip() if isinstance(error, OSError) else kind


def _places(error: BaseException) -> list[str]:
    """The frames, outermost first; without source lines and locals."""
    frames = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), lookup_lines=False)
    return [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
