"""The items that a stored response was made from, as the API lists them.

Source: the OpenAI API reference, "List input items".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from bridge.errors import invalid_request
from bridge.openai.responses.object import Object, key_of, without_encrypted
from bridge.store.response import Stored

_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
    "web_search_call": "ws",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcpl",
    "mcp_approval_request": "mcpr",
    "mcp_approval_response": "mcpa",
    "compaction": "cmp",
}

MOST = 100


class Page(Struct, frozen=True):
    """Which part of the list is wanted: so many items, after or before the one with an id."""

    limit: int = 20
    descending: bool = True
    after: str | None = None
    before: str | None = None

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Page:
        """Read the query parameters.

        Raises:
            ApiError: 400, `param` names the parameter.
        """
        limit, order = query.get("limit", "20"), query.get("order", "desc")
        if not limit.isdecimal() or not 1 <= int(limit) <= MOST:
            raise invalid_request(f"'limit' must be between 1 and {MOST}.", "limit", "invalid_value")
        if order not in {"asc", "desc"}:
            raise invalid_request(f"Invalid value for 'order': {order!r}; use asc or desc.", "order", "invalid_value")
        return cls(int(limit), order == "desc", query.get("after"), query.get("before"))


def input_items(chain: Iterable[Stored], *, output: bool = True) -> Iterator[Object]:
    """Yield the items of responses in the order in which the model saw them, each with an id and all its fields."""
    for stored in chain:
        key = key_of(stored.id)
        for number, item in enumerate(stored.input):
            yield listed_item(item, f"{id_prefix(item)}_{key}_in{number}")
        if output:
            yield from stored.output


def id_prefix(item: Object) -> str:
    """Return the beginning of an item's id, which tells its type."""
    return _PREFIXES.get(item.get("type") or "message", "item")


def listed_item(item: Object, item_id: str) -> Object:
    """Return an input item as the API lists it, with all its fields; `item_id` is for one that has no id."""
    kind = item.get("type") or "message"
    whole = {"id": item_id, "type": kind, "status": "completed"}
    whole |= {name: value for name, value in item.items() if value is not None}
    if kind == "message":
        whole["content"] = list(_parts(item))
    return whole


def _parts(message: Object) -> Iterator[Object]:
    content = message.get("content") or ()
    for part in [{"text": content}] if isinstance(content, str) else content:
        if message.get("role") == "assistant":
            yield {"type": "output_text", "annotations": [], **part}
        else:
            yield {"type": "input_text", **part}


def page(items: Sequence[Object], asked: Page, *, encrypted: bool = False) -> dict[str, Any]:
    """Return one page of the list, with the encrypted reasoning or without.

    Raises:
        ApiError: 400, there is no item after or before which it could be.
    """
    ordered = [*reversed(items)] if asked.descending else [*items]
    ids = [item["id"] for item in ordered]
    for name, edge in (("after", asked.after), ("before", asked.before)):
        if edge is not None and edge not in ids:
            raise invalid_request(f"There is no item {edge!r} in this list.", name, "invalid_value")
    begin = 0 if asked.after is None else ids.index(asked.after) + 1
    end = len(ids) if asked.before is None else ids.index(asked.before)
    part = ordered[begin:end][: asked.limit]
    return {
        "object": "list",
        "data": part if encrypted else [without_encrypted(item) for item in part],
        "first_id": part[0]["id"] if part else None,
        "last_id": part[-1]["id"] if part else None,
        "has_more": len(ordered[begin:end]) > len(part),
    }
