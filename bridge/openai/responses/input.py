"""The `input` of a request, with what came before it, is read on where a request before it ended.

What was read is remembered under the values as they came. Values that are equal are read alike, although `1` and `True`
are equal, because all that is read in most of them is text; the others have to be the same as JSON, too.

Source: the OpenAI API reference, "Create a model response".
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import orjson
from msgspec import Struct, field

from bridge.config import ReasoningDisplay
from bridge.conversation.prefixes import Prefix, Prefixes
from bridge.conversation.prompt import Item, message
from bridge.conversation.tools import Toolbox
from bridge.errors import invalid_request
from bridge.json_values import check_size, memory_of
from bridge.openai.history import settled
from bridge.openai.reasoning_text import without_blocks
from bridge.openai.responses.compaction import Unseal, condensed
from bridge.openai.responses.items import read_input, with_declared
from bridge.openai.shapes import Object

NOT_TEXT_ALONE = (
    "additional_tools",
    "mcp_approval_response",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
)
"""The types of items in which numbers and truth values are read. (No set: what stands for a type may be a list.)"""


class Reading(Struct, frozen=True):
    """What values were read as."""

    items: tuple[Item, ...]
    toolbox: Toolbox
    """The tools of the request, and those that its items declare."""
    found: Mapping[int, Object] = field(default_factory=dict[int, Object])
    """The stored items for which values stand, by the place of these."""
    lost: frozenset[str] = frozenset()
    """The paths of what has no effect in the values."""


class Recent(Prefixes[Reading]):
    """What recent requests were read as; it belongs to one display of reasoning."""

    def __init__(self) -> None:
        super().__init__(operator.eq)

    def keep(self, before: Prefix[Reading] | None, key: object, values: Sequence[Any], reading: Reading) -> None:
        """Remember what values were read as, unless a part of what follows could belong to the last item.

        (A block of reasoning in front of calls is no message of the model.)
        """
        if not values or any(item.get("role") == "assistant" for item in reading.items[-1:]):
            return
        start, known = (len(before.sequence), len(before.value.items)) if before else (0, 0)
        exact = tuple([n for n, value in enumerate(values[start:], start) if value.get("type") in NOT_TEXT_ALONE])
        self.remember(before, key, values, reading, added=memory_of(reading.items[known:]), exact=exact)


class Input(Struct, frozen=True):
    """Values that are to be read: those of earlier responses, and from `own` on the request's."""

    values: Sequence[Any]
    own: int
    tools: Toolbox
    instructions: str | None
    recent: Recent
    before: Prefix[Reading] | None
    """What is known of them."""
    unseal: Unseal | None = None
    """Opens compaction items."""
    key: str | None = None
    """The id of the client's key: what stored items are known to be for one key is not known for another."""

    @classmethod
    def begin(
        cls,
        earlier: Sequence[Object],
        own: Sequence[Any],
        tools: Toolbox,
        instructions: str | None,
        recent: Recent,
        *,
        unseal: Unseal | None = None,
        key: str | None = None,
    ) -> Input:
        """Look for what is known.

        Raises:
            ApiError: 400, something new is nested too deeply or too long.
        """
        values = [*earlier, *own]
        before = recent.find(circumstances("input", tools, instructions, key), values)
        begun = cls(values, len(earlier), tools, instructions, recent, before, unseal, key)
        check_size({"input": values[begun.unread :]})
        return begun

    @property
    def known(self) -> int:
        """How many values are known."""
        return len(self.before.sequence) if self.before else 0

    @property
    def unread(self) -> int:
        """Where those values begin that are the request's own and not known."""
        return max(self.own, self.known)

    def references(self) -> tuple[str, ...]:
        """Return the ids of the stored items for which values stand, as far as these are not known."""
        return tuple(value["id"] for value in self.values[self.unread :] if _refers(value))

    def read(self, stored: Mapping[str, Object] | None = None, display: ReasoningDisplay = "off") -> Reading:
        """Read what is new; all of it when it declares tools, by which the old calls are read.

        `stored` has the items that are referred to, by id; None if there is nothing to refer to.

        Raises:
            ApiError: 400, `param` names the place among the request's own values.
        """
        before = self.before
        if before and self.known == len(self.values):
            return before.value
        found = {**before.value.found} if before else {}
        if stored is not None:
            found |= _found(self.values[self.unread :], self.unread, self.own, stored)
        values = self._with(found)
        known = before.value.toolbox if before else self.tools
        shapes = read_input(values[self.known :], self.known - self.own, self.unseal)
        toolbox = with_declared(known, shapes)
        if before and toolbox != known:
            before, shapes = None, read_input(values, -self.own, self.unseal)
        head = before.value.items if before else instructions_as_items(self.instructions)
        items = [item for shape in shapes if (item := shape.item.item(toolbox)) is not None]
        if any(item["type"] == "compaction" for item in items):
            fixed = instructions_as_items(self.instructions)
            head, items = fixed, condensed([*head[len(fixed) :], *items])
        new, differs = settled(items, head, "input")
        lost = (before.value.lost if before else frozenset[str]()).union(*[shape.lost for shape in shapes])
        lost |= {"input[].output"} if differs else set[str]()
        reading = Reading((*head, *without_blocks(new, display)), toolbox, found, lost)
        self.recent.keep(before, circumstances("input", self.tools, self.instructions, self.key), self.values, reading)
        return reading

    def resolved(self, reading: Reading) -> Sequence[Object]:
        """Return the request's own values, with stored items instead of their references."""
        return self._with(reading.found)[self.own :]

    def _with(self, found: Mapping[int, Object]) -> list[Any]:
        values = [*self.values]
        for place, item in found.items():
            values[place] = item
        return values


def circumstances(shape: str, tools: Toolbox, instructions: str | None, key: str | None = None) -> object:
    """Return what has to be the same for a beginning to be read alike; schemas have to be so as JSON."""
    return shape, tools, orjson.dumps([tools.specs(), tools.web_search]), instructions, key


def instructions_as_items(instructions: str | None) -> tuple[Item, ...]:
    """Return what stands before all else that the model sees."""
    return (message("developer", instructions),) if instructions else ()


def input_values(given: str | list[Any] | None) -> list[Any]:
    """Return the field `input` as a list of values."""
    if isinstance(given, str):
        part = {"type": "input_text", "text": given}
        return [{"type": "message", "role": "user", "content": [part]}] if given else []
    return given or []


def _refers(item: object) -> bool:
    """Whether an item stands for a stored one, as reasoning does that is not encrypted.

    The API also takes a reference without a type.
    """
    match item:
        case {"type": "item_reference", "id": str()}:
            return True
        case {"type": "reasoning", "id": str()}:
            return not cast("Object", item).get("encrypted_content")
        case {"id": str()}:
            return len(cast("Object", item)) == 1
        case _:
            return False


def _found(values: Sequence[Any], start: int, own: int, stored: Mapping[str, Object]) -> Iterator[tuple[int, Object]]:
    """Yield the places of the values that refer to stored items, and these; reasoning may be missing."""
    for place, value in enumerate(values, start):
        if not _refers(value):
            continue
        if value["id"] in stored:
            yield place, stored[value["id"]]
        elif value.get("type") != "reasoning":
            text = f"There is no stored item with the id {value['id']!r}; send the item itself."
            raise invalid_request(text, f"input[{place - own}].id", "item_not_found")
