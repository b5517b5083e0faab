"""What a history of calls and outputs must be, because codex would mend it behind the client's back."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator

from bridge.conversation.prompt import Item
from bridge.errors import invalid_request

LONGEST_ID = 64
"""Characters that the upstream takes for a call id; clients bring longer ones from other models."""


def short_id(call_id: str) -> str:
    """Return the id, or one of its own that always is the same if it is too long."""
    if len(call_id) <= LONGEST_ID:
        return call_id
    return "call_" + hashlib.blake2b(call_id.encode(), digest_size=20).hexdigest()


def with_ids(items: Iterable[tuple[int, Item]]) -> Iterator[Item]:
    """Yield items, each with the number of its message, and give calls and outputs without an id one by that number.

    The outputs answer the calls in their order. (The old `function_call` has no id.)
    """
    nameless: deque[str] = deque()
    for number, item in items:
        if item.get("call_id") != "":
            yield item
        elif item["type"] == "function_call":
            nameless.append(f"call_{number}_{len(nameless)}")
            yield {**item, "call_id": nameless[-1]}
        else:
            yield {**item, "call_id": nameless.popleft() if nameless else ""}


def check_calls(items: Iterable[Item], param: str) -> None:
    """Accept a history in which every call has one output behind it, and every output a call before it.

    Raises:
        ApiError: 400 naming the ids. (Codex would add the output "aborted", and drop an output without a call.)
    """
    open_calls: dict[str, None] = {}
    for item in items:
        if item["type"] == "function_call":
            if item["call_id"] in open_calls:
                raise invalid_request(f"Two tool calls have the id {item['call_id']!r}.", param, "invalid_value")
            open_calls[item["call_id"]] = None
        elif item["type"] == "function_call_output" and open_calls.pop(item["call_id"], True):
            message = f"There is no open tool call with the id {item['call_id']!r} before this tool result."
            raise invalid_request(message, param, "invalid_value")
    if open_calls:
        missing = ", ".join(map(repr, open_calls))
        raise invalid_request(f"Tool calls without a result: {missing}.", param, "invalid_value")
