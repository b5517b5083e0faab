"""The log of the program: readable lines or JSON lines, one line per request, no secrets.

1. Only our own loggers follow `--log-level`; libraries log warnings only, because some log headers at debug level.
2. Text chosen by a client (a path, a name) is escaped so that it cannot start a new line.
3. Request bodies are logged only with `--log-requests`.
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

OWN_LOGGERS = ("bridge", "codex_rpc")
LONGEST = 200
"""Most characters that are logged of a text chosen by a client."""

logger = logging.getLogger(__name__)


def configure_logs(level: str, log_format: LogFormat) -> None:
    """Write the log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonLines() if log_format == "json" else logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(level.upper())


def log_request(entry: RequestLogEntry) -> None:
    """Log one line for a request that has ended."""
    if logger.isEnabledFor(logging.INFO):
        logger.info("%s", request_line(entry), extra={"request": entry_report(entry, entry.moment)})


def request_line(entry: RequestLogEntry) -> str:
    """Return the log line of a request."""
    parts = [entry.method, _printable(entry.path), str(entry.status or "gone")]
    if entry.error is not None:
        parts.append(entry.error)
    if entry.key is not None:
        parts.append(f"key={entry.key}")
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
    """Formats each record as one JSON object; the record of a request contains its whole entry."""

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
