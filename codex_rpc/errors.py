"""What can go wrong between us and codex, and whose fault it is.

CodexError
├── CodexNotFoundError      no codex executable                            the machine's set-up
├── CodexTooOldError        codex is below the floor version               the machine's set-up
├── CodexAddsTextError      codex adds text to the model's input           codex's
├── CodexUnavailableError   codex is starting, restarting or stopping      no fault; try again
│   └── ConnectionLostError the process ended while a caller waited
├── DeadlineExceededError   codex did not answer in time                   codex's
├── RequestRefusedError     codex answered a call with an error            the call's
│   └── OverloadedError     codex has too much to do                       no fault; try again
├── ProtocolError           codex sent something we cannot read            codex's
├── UnsendableError         a value that codex could not parse             the caller's
└── InboxOverflowError      a thread's events were not taken in time       the consumer's
"""

from __future__ import annotations

from typing import Any

OVERLOADED = -32001
"""The JSON-RPC error code with which an overloaded app-server refuses a call."""

INVALID_REQUEST = -32600
"""The JSON-RPC error code for parameters that codex rejects."""


class CodexError(Exception):
    """Any failure of codex or of the connection to it."""


class CodexNotFoundError(CodexError):
    """No codex executable was found; the message lists the places searched."""


class CodexTooOldError(CodexError):
    """The codex that was found is older than the floor version; the message names both."""


class CodexAddsTextError(CodexError):
    """Codex adds something to the model's input; the message shows it."""


class CodexUnavailableError(CodexError):
    """Codex is not ready; it may be in `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ConnectionLostError(CodexUnavailableError):
    """The codex process ended, or its output became unreadable, while a caller waited."""


class DeadlineExceededError(CodexError):
    """Codex did not answer a call within its deadline."""


class RequestRefusedError(CodexError):
    """Codex answered a call with a JSON-RPC error."""

    def __init__(self, method: str, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"codex refused {method}: {message} ({code})")
        self.method = method
        self.code = code
        self.reason = message
        self.data = data


class OverloadedError(RequestRefusedError):
    """Codex refused a call because it has too much to do; the call may be repeated a little later."""


class ProtocolError(CodexError):
    """Codex sent a line or a result that does not fit the protocol."""


class UnsendableError(CodexError):
    """A message that codex could not parse: it has half a surrogate pair, or is nested too deeply."""


class InboxOverflowError(CodexError):
    """The events of one thread were not taken in time and exceeded their buffer."""
