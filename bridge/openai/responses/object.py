"""The frame of a response: the fields that its request determines, to which state and output are added.

Source: the OpenAI API reference, "The response object".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from bridge.errors import CONTEXT_TOO_LONG, KEY_REVOKED, ApiError
from codex_rpc.wire.events import TokenUsage

Status: TypeAlias = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
Object: TypeAlias = Mapping[str, Any]

ACTIVE = frozenset({"queued", "in_progress"})
"""The statuses of a response that is not final."""

ENCRYPTED = "reasoning.encrypted_content"
"""What `include` names when the client wants to send the model's reasoning back itself."""

PREFIX = "resp_"

_REASONING_ID = re.compile(r"rs_[0-9a-f]{32}_(.+)")


class ResponseFrame(Struct, frozen=True):
    """What is known of a response before it begins; `key` tells it from all others, `created` is in epoch seconds."""

    key: str
    created: int
    now: Callable[[], int]
    """Returns the time in epoch seconds."""
    request: Object = field(default_factory=dict[str, Any])
    """The fields of the request as the response repeats them."""
    encrypted: bool = False
    """Whether the client wants the encrypted reasoning."""

    @property
    def id(self) -> str:
        return PREFIX + self.key

    def in_tier(self, tier: str | None) -> ResponseFrame:
        """The same for a model that runs in this service tier."""
        return replace(self, request={**self.request, "service_tier": tier or "default"})

    def item_id(self, kind: str, which: int | str) -> str:
        """The id of an output item, made from the response's so that the item can be found by it.

        `which` is its index, or the upstream's id where the upstream has to know the item again.
        """
        return f"{kind}_{self.key}_{which}"

    def response(
        self,
        status: Status,
        output: Sequence[Object] = (),
        usage: TokenUsage | None = None,
        *,
        error: ApiError | None = None,
        incomplete: str | None = None,
    ) -> dict[str, Any]:
        """Return the response object in a state."""
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "completed_at": self.now() if status == "completed" else None,
            "status": status,
            "background": False,
            "error": None if error is None else {"code": _error_code(error), "message": error.message},
            "incomplete_details": None if incomplete is None else {"reason": incomplete},
            **self.request,
            "output": [self.shown(item) for item in output],
            "usage": None if usage is None else response_usage(usage),
        }

    def shown(self, item: Object) -> Object:
        """Return an output item as the client gets it."""
        return item if self.encrypted else without_encrypted(item)


def without_encrypted(item: Object) -> Object:
    """Return an item without what only the upstream can read; a compaction item would be nothing without it."""
    if "encrypted_content" not in item or item["type"] == "compaction":
        return item
    return {name: value for name, value in item.items() if name != "encrypted_content"}


def key_of(some_id: str) -> str | None:
    """Return the key in the id of a response or of one of its items; None if it is neither."""
    parts = some_id.split("_")
    return parts[1] if len(parts) > 1 and parts[1] else None


def source_of(item_id: str) -> str | None:
    """Return the upstream's id of a reasoning item from the client's; None if it has none.

    The upstream refuses encrypted reasoning that comes with another id than its own. An id that is not from here is the
    upstream's already.
    """
    ours = _REASONING_ID.fullmatch(item_id)
    if ours is None:
        return item_id
    return None if ours[1].isdecimal() else ours[1]


def response_usage(usage: TokenUsage) -> dict[str, Any]:
    """Return the `usage` object."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached_input, "cache_write_tokens": usage.cache_written},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_output},
        "total_tokens": usage.input + usage.output,
    }


def _error_code(error: ApiError) -> str:
    """Clients know few codes here; the Codex CLI acts on some of them."""
    match error.status:
        case 429:
            return "rate_limit_exceeded"
        case 400 if error.code == CONTEXT_TOO_LONG:
            return CONTEXT_TOO_LONG
        case 400:
            return "invalid_prompt"
        case 401 if error.code == KEY_REVOKED:
            return KEY_REVOKED
        case _:
            return "server_error"
