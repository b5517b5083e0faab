"""A request to /responses becomes what the model is to see, and what the response repeats of it.

Source: the OpenAI API reference, "Create a model response".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from msgspec import Struct

from bridge.errors import ApiError, invalid_request
from bridge.json_body import refuse_extremes
from bridge.openai.fields import Object, expect, optional, optional_object, required, wrong_type
from bridge.openai.model_settings import ModelSettings, parse_settings
from bridge.openai.repeated import repeated
from bridge.openai.response_input import Input, Recent, own_input
from bridge.openai.response_object import ENCRYPTED, ResponseFrame
from bridge.openai.tool_specs import parse_tools
from bridge.prompt import Item

IGNORED = (
    "context_management",
    "max_tool_calls",
    "moderation",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "temperature",
    "top_logprobs",
    "top_p",
    "user",
)
"""Parameters that tune or label an answer; codex has no place for them. Each one that was sent is named in a header."""

UNSUPPORTED = {
    "conversation": "use 'previous_response_id', or send the items in 'input'",
    "prompt": "send its text in 'instructions' or 'input'",
}
"""Parameters that stand for something that only the upstream stores."""

LOGPROBS = "message.output_text.logprobs"
_NAME = re.compile(r"[a-z_.]{1,64}")
SUMMARIES = ("auto", "concise", "detailed", "none")


class ResponseRequest(Struct, frozen=True):
    """A request as it was read."""

    settings: ModelSettings
    items: tuple[Item, ...]
    """Everything that the model is to see, the earlier responses included."""
    input: Sequence[Object]
    """The request's own input items as the client wrote them."""
    summary: str
    stream: bool
    store: bool
    previous: str | None
    encrypted: bool
    repeated: Object
    """The fields of the request as the response repeats them."""
    ignored: tuple[str, ...]

    def frame(self, key: str, created: int) -> ResponseFrame:
        """The frame of the response."""
        return ResponseFrame(key, created, self.repeated, self.encrypted).in_tier(None)


class Begun(Struct, frozen=True):
    """A request that can be read once the items are there that it refers to."""

    fields: Object
    input: Input

    def read(self, stored: Mapping[str, Object]) -> ResponseRequest:
        """Read it; `stored` holds the items that it refers to, by id.

        Raises:
            ApiError: 400, `param` names the field.
        """
        fields = self.fields
        reading = self.input.read(stored)
        settings = parse_settings(fields, reading.toolbox)
        includes = _includes(fields)
        return ResponseRequest(
            settings=settings,
            items=reading.items,
            input=self.input.resolved(reading),
            summary=_summary(optional_object(fields, "reasoning")),
            stream=optional(fields, "stream", bool) or False,
            store=optional(fields, "store", bool) is not False,
            previous=previous_of(fields),
            encrypted=ENCRYPTED in includes,
            repeated=repeated(fields, settings),
            ignored=tuple(_ignored(fields, includes)),
        )


def previous_of(body: object) -> str | None:
    """Return the id of the response that a decoded JSON body continues.

    Raises:
        ApiError: 400, the body is no object, or `param` names the field.
    """
    if not isinstance(body, dict):
        raise wrong_type(body, "an object", "body")
    return optional(cast("Object", body), "previous_response_id", str)


def begin(body: object, history: Sequence[Object] = (), recent: Recent | None = None) -> Begun:
    """Begin to read a decoded JSON body; `history` holds the items of the responses before it.

    Raises:
        ApiError: 400, `param` names the field.
    """
    if not isinstance(body, dict):
        raise wrong_type(body, "an object", "body")
    fields = cast("dict[str, Any]", body)
    refuse_extremes({name: value for name, value in fields.items() if name != "input"})
    _refuse_what_would_be_a_lie(fields)
    own = own_input(fields)
    if not own:
        raise invalid_request("'input' must hold at least one item.", "input", "empty_array")
    required(fields, "model", str)
    tools, instructions = parse_tools(fields.get("tools")), optional(fields, "instructions", str)
    return Begun(fields, Input.begin(history, own, tools, instructions, recent or Recent()))


# ── Settings ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _refuse_what_would_be_a_lie(fields: Object) -> None:
    for name, instead in UNSUPPORTED.items():
        if fields.get(name) is not None:
            raise invalid_request(f"'{name}' is not supported; {instead}.", name, "unsupported_parameter")
    if LOGPROBS in (optional(fields, "include", list) or ()):
        message = f"Codex reports no log probabilities: 'include' must not hold {LOGPROBS!r}."
        raise invalid_request(message, "include", "unsupported_value")
    truncation = optional(fields, "truncation", str)
    if truncation not in {None, "auto", "disabled"}:
        message = f"Invalid value for 'truncation': {truncation!r}; use auto or disabled."
        raise invalid_request(message, "truncation", "invalid_value")


def _includes(fields: Object) -> set[str]:
    """What is to be put in besides; what is not known is no error, but has to look like a name."""
    names = cast("list[Any]", optional(fields, "include", list) or [])
    for number, name in enumerate(names):
        if not _NAME.fullmatch(expect(name, str, f"include[{number}]")):
            raise invalid_request(f"Invalid value for 'include[{number}]'.", f"include[{number}]", "invalid_value")
    return {*names}


def _summary(reasoning: Object) -> str:
    """Whether the model tells about its reasoning: only when it is asked to, as in the API."""
    summary = optional(reasoning, "summary", str, "reasoning.summary")
    summary = summary or optional(reasoning, "generate_summary", str, "reasoning.generate_summary") or "none"
    if summary not in SUMMARIES:
        message = f"Invalid value for 'reasoning.summary': {summary!r}; use {', '.join(SUMMARIES)}."
        raise invalid_request(message, "reasoning.summary", "invalid_value")
    return summary


def _ignored(fields: Object, includes: Iterable[str]) -> Iterator[str]:
    yield from (name for name in IGNORED if fields.get(name) is not None)
    if fields.get("truncation") == "auto":
        yield "truncation"
    yield from (f"include[{name}]" for name in sorted(includes) if name != ENCRYPTED)


def previous_not_found(previous: str) -> ApiError:
    """The request continues a response that is not, or no longer, stored."""
    message = f"There is no stored response {previous!r} (any more); send its items in 'input' instead."
    return invalid_request(message, "previous_response_id", "previous_response_not_found")
