"""Content of messages and tool results, Chat or Responses shaped, becomes Responses parts.

Source: the OpenAI API reference, "Create chat completion" and "Create a model response".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from bridge.errors import invalid_request
from bridge.openai.fields import Object, expect_object, optional, required, wrong_type
from bridge.openai.images import check_image_url


def parse_content(content: object, role: str, where: str) -> list[Mapping[str, Any]]:
    """Return the parts of a message; `role` is that of a Responses message.

    Raises:
        ApiError: 400, `where` leads to the fault.
    """
    return list(_parts(content, "output_text" if role == "assistant" else "input_text", where))


def parse_output(content: object, where: str) -> str | list[Mapping[str, Any]]:
    """Return what a tool gave: a text as it is, parts as parts.

    Raises:
        ApiError: 400, `where` leads to the fault.
    """
    return content if isinstance(content, str) else list(_parts(content, "input_text", where)) or ""


def _parts(content: object, text_type: str, where: str) -> Iterator[Mapping[str, Any]]:
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
            message = "Codex takes no files; put their text into the message."
            raise invalid_request(message, where, "unsupported_content")
        case "input_audio":
            raise invalid_request("Codex models take no audio.", where, "unsupported_content")
        case _:
            raise invalid_request(f"Invalid value for '{where}.type': {kind!r}.", f"{where}.type", "invalid_value")


def _image(part: Object, where: str) -> Mapping[str, Any]:
    """Chat nests the URL in an object, Responses has it flat; both are met in the wild."""
    if part.get("image_url") is None and part.get("file_id") is not None:
        message = "This server stores no files; send the image itself as a data URL in 'image_url'."
        raise invalid_request(message, f"{where}.file_id", "unsupported_content")
    image = part.get("image_url")
    flat = {"url": image, "detail": part.get("detail")}
    nested = flat if isinstance(image, str) else expect_object(image, f"{where}.image_url")
    url = required(nested, "url", str, f"{where}.image_url.url")
    check_image_url(url, f"{where}.image_url.url")
    detail = optional(nested, "detail", str, f"{where}.image_url.detail")
    item = {"type": "input_image", "image_url": url}
    return {**item, "detail": detail} if detail else item
