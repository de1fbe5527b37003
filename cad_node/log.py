"""Events, not sentences: log.info("job.done", job=7, seconds=3.1). UIDs may appear, a patient's name, ID or birth date never."""

import logging
import sys

import structlog


def configure_logging(level: str = "info", json: bool = False) -> None:
    """Send events to standard error, as lines for people or as JSON for a collector."""
    renderer = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # its messages can carry identifiers


get_logger = structlog.get_logger
