"""Log files: JSON lines with rotation under the data folder. The terminal belongs to the cockpit; nothing is printed there."""

from __future__ import annotations

import logging
import logging.handlers
import sys
import traceback

from engine.paths import logs_dir

LOG_NAME = "quantsail.log"
LOG_BYTES = 5_000_000
LOG_FILES = 5


def keep_off_the_terminal() -> None:
    """What a library says without a handler goes to stderr, tracebacks and all, and stderr is the cockpit's screen."""
    if not logging.getLogger().handlers:
        logging.getLogger().addHandler(logging.NullHandler())


def set_up() -> None:
    """Send structlog to the log file; without a writable folder logging is off, and trading is not."""
    import structlog  # it brings rich's tracebacks and pygments: the first screen does not wait for them

    keep_off_the_terminal()
    handler: logging.Handler
    try:
        logs_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
        handler = logging.handlers.RotatingFileHandler(
            logs_dir() / LOG_NAME, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", delay=True
        )
    except OSError:
        handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    root = logging.getLogger("quantsail")
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    root.propagate = False
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: root,
        cache_logger_on_first_use=False,
    )


def record_crash(error: BaseException) -> None:
    """The traceback goes to the log, without local variables: they may hold secrets. A command without a log keeps none:
    structlog would print it."""
    structlog = sys.modules.get("structlog")
    if structlog is None or not structlog.is_configured():
        return
    where = "".join(traceback.format_exception(type(error), error, error.__traceback__, limit=20))
    structlog.get_logger("crash").error("crash", kind=type(error).__name__, traceback=where)
