"""What the program writes to its log: for people or as JSON lines, one line a request, nothing secret.

1. Only our own loggers follow `--log-level`; libraries may warn, because some of them tell headers when they debug.
2. What a client chose (a path, a name) is written so that it cannot begin a line of its own.
3. The text of requests is not logged, unless it is asked for.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

from bridge.config import LogFormat
from bridge.telemetry.ledger import RequestLogEntry
from bridge.telemetry.report import entry_report

OURS = ("bridge", "codex_rpc")
LONGEST = 200
"""Characters of what a client chose that are logged."""

logger = logging.getLogger(__name__)


def configure_logs(level: str, log_format: LogFormat) -> None:
    """Write the log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonLines() if log_format == "json" else logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())


def log_request(entry: RequestLogEntry) -> None:
    """Write the line of a request that is over."""
    if logger.isEnabledFor(logging.INFO):
        logger.info("%s", request_line(entry), extra={"request": entry_report(entry, entry.moment)})


def request_line(entry: RequestLogEntry) -> str:
    """Return what a person wants to know of a request, in one line."""
    parts = [entry.method, _printable(entry.path), str(entry.status or "gone")]
    if entry.error is not None:
        parts.append(entry.error)
    if entry.model is not None:
        usage = entry.usage
        parts += [
            f"model={_printable(entry.model)}",
            f"thread={(entry.thread or '-').replace('; reason=', ':')}",
            "first={}".format("-" if entry.first_token is None else f"{entry.first_token:.3f}s"),
            f"tokens={usage.input}+{usage.output}",
            f"cached={usage.cached_input}",
        ]
    return " ".join([*parts, f"{entry.seconds or 0:.3f}s", entry.id])


class JsonLines(logging.Formatter):
    """Each record is one JSON object; that of a request carries all that is known of it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := getattr(record, "request", None):
            line["request"] = request
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def _printable(text: str) -> str:
    return text[:LONGEST].encode("unicode_escape").decode("ascii").replace(" ", "\\x20")
