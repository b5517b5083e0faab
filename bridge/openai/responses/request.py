"""A request to /responses becomes what the model is to see, and what the response repeats of it.

Source: the OpenAI API reference, "Create a model response".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from bridge.conversation.prompt import Item
from bridge.errors import ApiError, invalid_request
from bridge.openai.model_settings import ModelSettings
from bridge.openai.responses.compaction import Unseal, is_trigger
from bridge.openai.responses.fields import ResponseBody
from bridge.openai.responses.input import Input, Recent, input_values, instructions_as_items
from bridge.openai.responses.object import ENCRYPTED, ResponseFrame
from bridge.openai.responses.repeated import repeated
from bridge.openai.shapes import Object, listed
from bridge.openai.tool_specs import Mcp, toolbox_of


class ResponseRequest(Struct, frozen=True):
    """A request as it was read."""

    settings: ModelSettings
    items: tuple[Item, ...]
    """Everything that the model is to see, the earlier responses included."""
    fixed: int
    """How many items at their beginning come from `instructions`, which a compaction leaves out."""
    input: Sequence[Object]
    """The request's own input items as the client wrote them."""
    summary: str
    stream: bool
    store: bool
    generate: bool
    """Whether the model is asked; a request without that prepares a conversation."""
    background: bool
    previous: str | None
    conversation_id: str | None
    """The conversation whose items come first, and to which the input and the output are added."""
    encrypted: bool
    repeated: Object
    """The fields of the request as the response repeats them."""
    ignored: tuple[str, ...]
    asks: bool = False
    """Whether the client answers an agent's requests for approval."""
    compacts: bool = False
    """Whether the answer is a compaction of the conversation."""
    compact_threshold: int | None = None
    """The number of input tokens from which on the conversation is compacted before it is answered."""

    @property
    def history(self) -> tuple[Item, ...]:
        """The items without those of `instructions`."""
        return self.items[self.fixed :]

    def frame(self, key: str, now: Callable[[], int]) -> ResponseFrame:
        """Return the frame of a response that is created now; `now` returns the time in epoch seconds."""
        return ResponseFrame(key, now(), now, self.repeated, self.encrypted).in_tier(None)


class HalfParsedRequest(Struct, frozen=True):
    """A request that can be read once the items are there that it refers to."""

    body: ResponseBody
    input: Input
    compacts: bool

    def read(self, stored: Mapping[str, Object]) -> ResponseRequest:
        """Read it; `stored` holds the items that it refers to, by id.

        Raises:
            ApiError: 400, `param` names the field.
        """
        fields = self.body.fields
        reading = self.input.read(stored)
        settings = fields.settings(reading.toolbox)
        return ResponseRequest(
            settings=settings,
            items=reading.items,
            fixed=len(instructions_as_items(fields.instructions)),
            input=self.input.resolved(reading),
            summary=fields.summary,
            stream=fields.stream or False,
            store=fields.store is not False,
            generate=fields.generate is not False,
            background=fields.background or False,
            previous=fields.previous_response_id,
            conversation_id=fields.conversation_id,
            encrypted=ENCRYPTED in (fields.include or ()),
            repeated=repeated(fields, self.body.tools, settings),
            ignored=listed([*self.body.lost, *reading.lost]),
            asks=any(isinstance(tool, Mcp) and tool.asks for tool in self.body.tools),
            compacts=self.compacts,
            compact_threshold=fields.compact_threshold,
        )


def own_values(body: ResponseBody) -> list[Any]:
    """Return the request's own input values."""
    return input_values(body.fields.input)


def begin(
    body: ResponseBody,
    history: Sequence[Object] = (),
    recent: Recent | None = None,
    unseal: Unseal | None = None,
    key: str | None = None,
) -> HalfParsedRequest:
    """Begin to read the items; `history` holds those of the responses before it, `unseal` opens compaction items.

    `key` is the id of the client's key.

    Raises:
        ApiError: 400, `param` names the field.
    """
    fields, tools = body.fields, toolbox_of(body.tools)
    values = own_values(body)
    compacts = any(map(is_trigger, values[-1:]))
    if compacts:
        values = values[:-1]
    if not values and not history and fields.needs_input:
        raise invalid_request("'input' must hold at least one item.", "input", "empty_array")
    read = Input.begin(history, values, tools, fields.instructions, recent or Recent(), unseal=unseal, key=key)
    return HalfParsedRequest(body, read, compacts)


def previous_not_found(previous: str) -> ApiError:
    """The request continues a response that is not, or no longer, stored."""
    message = f"There is no stored response {previous!r} (any more); send its items in 'input' instead."
    return invalid_request(message, "previous_response_id", "previous_response_not_found")
