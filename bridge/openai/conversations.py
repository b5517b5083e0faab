"""The bodies of requests about conversations, and the objects that answer them.

Source: the OpenAI API reference, "Conversations".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bridge.errors import ApiError
from bridge.json_values import check_size
from bridge.openai.responses.compaction import Unseal
from bridge.openai.responses.input_items import id_prefix, listed_item
from bridge.openai.responses.items import read_input
from bridge.openai.shapes import Object, Refused, Shape, body_object, decode
from bridge.store.conversations import Conversation

PREFIX = "conv_"
MOST_PAIRS, LONGEST_KEY, LONGEST_VALUE = 16, 64, 512
"""Bounds of the metadata, as in the API."""


class ConversationFields(Shape, frozen=True):
    """The body that creates or updates a conversation."""

    items: list[Any] | None = None
    metadata: dict[str, str] | None = None

    def __post_init__(self) -> None:
        pairs = (self.metadata or {}).items()
        if len(pairs) > MOST_PAIRS:
            raise Refused("metadata", f"'{{where}}' may have at most {MOST_PAIRS} pairs.")
        for name, value in pairs:
            if len(name) > LONGEST_KEY or len(value) > LONGEST_VALUE:
                message = f"A key of '{{where}}' may have {LONGEST_KEY} characters, a value {LONGEST_VALUE}."
                raise Refused("metadata", message)


def read_body(body: object) -> ConversationFields:
    """Read a decoded JSON body.

    Raises:
        ApiError: 400, `param` names the field.
    """
    return decode(body_object(body), ConversationFields)


def read_items(values: Sequence[Any], unique: Callable[[], str], unseal: Unseal | None) -> list[Object]:
    """Check the items that a client adds, and return them as the conversation lists them, each with an id.

    `unique` returns a new UUID; `unseal` opens compaction items.

    Raises:
        ApiError: 400, `param` leads to the fault.
    """
    check_size({"items": values})
    read_input(values, unseal=unseal, field="items")
    return [_item(value, unique) for value in values]


def _item(value: Object, unique: Callable[[], str]) -> Object:
    """The upstream reads encrypted reasoning only under its own id, so that is kept."""
    if value.get("type") != "reasoning":
        value = {**value, "id": None}
    return listed_item(value, f"{id_prefix(value)}_{unique().replace('-', '')}")


def conversation_object(conversation: Conversation) -> dict[str, Any]:
    """Return the conversation object."""
    return {
        "id": conversation.public_id,
        "object": "conversation",
        "created_at": conversation.created,
        "metadata": conversation.metadata,
    }


def conversation_not_found(conversation_id: str) -> ApiError:
    """Return a 404: no conversation is stored under this id."""
    message = f"There is no conversation {conversation_id!r}; it may have expired or been deleted."
    return ApiError(404, "invalid_request_error", "conversation_not_found", message, "conversation")


def item_not_found(conversation_id: str, item_id: str) -> ApiError:
    """Return a 404: the conversation has no such item."""
    message = f"The conversation {conversation_id!r} has no item {item_id!r}."
    return ApiError(404, "invalid_request_error", "item_not_found", message, "item_id")
