"""A Chat Completions request becomes a prompt.

Source: the OpenAI API reference, "Create chat completion".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from bridge.errors import invalid_request
from bridge.model_names import ModelChoice
from bridge.openai.fields import Object, expect_object, optional, optional_object, required, required_list, wrong_type
from bridge.openai.images import check_image_url
from bridge.prompt import Item, Prompt

IGNORED = (
    "audio",
    "frequency_penalty",
    "logit_bias",
    "max_completion_tokens",
    "max_tokens",
    "metadata",
    "modalities",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "temperature",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
)
"""Parameters that tune or label an answer; codex has no place for them. Each one that was sent is named in a header."""

_ROLES = {"system": "developer", "developer": "developer", "user": "user", "assistant": "assistant"}
"""Codex drops items of the role `system`; `developer` is what the Responses API calls the same."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request as it was read; the model is still the name that the client wrote."""

    model: str
    items: tuple[Item, ...]
    effort: str | None
    stream: bool
    usage_chunk: bool
    """Whether the client asked for the usage in a chunk of its own."""
    ignored: tuple[str, ...]

    def prompt(self, choice: ModelChoice) -> Prompt:
        """What the model is to see; an effort in the request comes before one in the model's name."""
        return Prompt(choice.slug, self.items, effort=self.effort or choice.effort, tier=choice.tier)


def parse(body: object) -> ChatRequest:
    """Read a decoded JSON body.

    Raises:
        ApiError: 400, `param` names the field.
    """
    if not isinstance(body, dict):
        raise wrong_type(body, "an object", "body")
    fields = cast("dict[str, Any]", body)
    _refuse_what_would_be_a_lie(fields)
    options = optional_object(fields, "stream_options")
    return ChatRequest(
        model=required(fields, "model", str),
        items=tuple(_items(required_list(fields, "messages"))),
        effort=optional(fields, "reasoning_effort", str),
        stream=optional(fields, "stream", bool) or False,
        usage_chunk=optional(options, "include_usage", bool, "stream_options.include_usage") or False,
        ignored=tuple(name for name in IGNORED if fields.get(name) is not None),
    )


def _refuse_what_would_be_a_lie(fields: Object) -> None:
    """A parameter that changes what the answer means is honoured or refused, never ignored."""
    if (optional(fields, "n", int) or 1) != 1:
        raise invalid_request("This server gives one choice: 'n' must be 1.", "n", "unsupported_value")
    if optional(fields, "logprobs", bool):
        raise invalid_request(
            "Codex reports no log probabilities: 'logprobs' must be false.", "logprobs", "unsupported_value"
        )
    for name in ("tools", "functions"):
        if optional(fields, name, list):
            raise invalid_request(f"This server does not support '{name}' yet.", name, "unsupported_parameter")
    if optional(fields, "response_format", dict) not in (None, {"type": "text"}):
        message = "This server does not support 'response_format' other than text yet."
        raise invalid_request(message, "response_format", "unsupported_value")


def _items(messages: list[Any]) -> Iterator[Item]:
    if not messages:
        raise invalid_request("'messages' must hold at least one message.", "messages", "empty_array")
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        yield from _message_items(expect_object(message, where), where)


def _message_items(message: Object, where: str) -> Iterator[Item]:
    role = required(message, "role", str, f"{where}.role")
    if role in {"tool", "function"}:
        raise invalid_request("This server does not support tool messages yet.", f"{where}.role", "unsupported_value")
    if role not in _ROLES:
        allowed = ", ".join([*_ROLES, "tool"])
        raise invalid_request(
            f"Invalid value for '{where}.role': {role!r}; use {allowed}.", f"{where}.role", "invalid_value"
        )
    if optional(message, "tool_calls", list, f"{where}.tool_calls"):
        raise invalid_request(
            "This server does not support tool calls yet.", f"{where}.tool_calls", "unsupported_value"
        )
    parts = list(_parts(message.get("content"), _ROLES[role], f"{where}.content"))
    if parts:
        yield {"type": "message", "role": _ROLES[role], "content": parts}
    elif role != "assistant":
        raise invalid_request(f"'{where}.content' must not be empty.", f"{where}.content", "missing_content")


def _parts(content: object, role: str, where: str) -> Iterator[Mapping[str, Any]]:
    text_type = "output_text" if role == "assistant" else "input_text"
    match content:
        case None:
            return
        case str():
            yield {"type": text_type, "text": content}
        case list():
            for number, part in enumerate(cast("list[Any]", content)):
                yield _part(expect_object(part, f"{where}[{number}]"), text_type, f"{where}[{number}]")
        case _:
            raise wrong_type(content, "a string or an array of parts", where)


def _part(part: Object, text_type: str, where: str) -> Mapping[str, Any]:
    kind = required(part, "type", str, f"{where}.type")
    match kind:
        case "text" | "input_text" | "output_text":
            return {"type": text_type, "text": required(part, "text", str, f"{where}.text")}
        case "refusal":
            return {"type": text_type, "text": required(part, "refusal", str, f"{where}.refusal")}
        case "image_url" | "input_image" if text_type == "input_text":
            return _image(part, where)
        case "image_url" | "input_image":
            raise invalid_request("An assistant message cannot hold an image.", where, "invalid_value")
        case "file" | "input_file":
            raise invalid_request(
                "Codex takes no files; put their text into the message.", where, "unsupported_content"
            )
        case "input_audio":
            raise invalid_request("Codex models take no audio.", where, "unsupported_content")
        case _:
            raise invalid_request(f"Invalid value for '{where}.type': {kind!r}.", f"{where}.type", "invalid_value")


def _image(part: Object, where: str) -> Mapping[str, Any]:
    """Chat nests the URL in an object, Responses has it flat; both are met in the wild."""
    image = part.get("image_url")
    flat = {"url": image, "detail": part.get("detail")}
    nested = flat if isinstance(image, str) else expect_object(image, f"{where}.image_url")
    url = required(nested, "url", str, f"{where}.image_url.url")
    check_image_url(url, f"{where}.image_url.url")
    detail = optional(nested, "detail", str, f"{where}.image_url.detail")
    item = {"type": "input_image", "image_url": url}
    return {**item, "detail": detail} if detail else item
