"""What a history of calls and outputs must be, because codex would mend it behind the client's back."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

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


def settled(new: Iterable[Item], known: Sequence[Item], param: str) -> tuple[list[Item], bool]:
    """Return the items that follow `known` ones without those that repeat a call or an output, and whether an output
    differs from the one before it: the first one counts, as the model may have seen it already.

    Raises:
        ApiError: 400 naming the ids: a call has no output after it, or an output no call before it. (Codex would add
            the output "aborted", and drop an output without a call.)
    """
    items: list[Item] = []
    open_calls: dict[str, Item] = {}
    differs = False
    for item in new:
        if item["type"] == "function_call":
            if item["call_id"] in open_calls:
                if open_calls[item["call_id"]] != item:
                    raise invalid_request(f"Two tool calls have the id {item['call_id']!r}.", param, "invalid_value")
                continue
            open_calls[item["call_id"]] = item
        elif item["type"] == "function_call_output" and open_calls.pop(item["call_id"], None) is None:
            first = next((one for one in chain(reversed(items), reversed(known)) if _is_output_of(one, item)), None)
            if first is None:
                message = f"There is no open tool call with the id {item['call_id']!r} before this tool result."
                raise invalid_request(message, param, "invalid_value")
            differs = differs or first != item
            continue
        items.append(item)
    if open_calls:
        missing = ", ".join(map(repr, open_calls))
        raise invalid_request(f"Tool calls without a result: {missing}.", param, "invalid_value")
    return items, differs


def _is_output_of(item: Item, other: Item) -> bool:
    return item["type"] == "function_call_output" and item["call_id"] == other["call_id"]
