"""Content of messages and tool results, Chat or Responses shaped, becomes Responses parts.

Source: the OpenAI API reference, "Create chat completion" and "Create a model response".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from bridge.openai.images import check_image_url
from bridge.openai.shapes import Refused, Shape, missing


class Text(Shape, frozen=True, tag_field="type", tag="text"):
    silent = frozenset({"annotations", "logprobs"})

    text: str


class InputText(Text, frozen=True, tag="input_text"):
    pass


class OutputText(Text, frozen=True, tag="output_text"):
    pass


class Refusal(Shape, frozen=True, tag_field="type", tag="refusal"):
    refusal: str


_DETAILS = {"low": "high"}
"""Details that codex cannot send → the nearest one. It would replace an image in low detail by a sentence."""
_WHOLE = "original"
"""The detail for an image without one: with any other, codex scales large images down."""


class NestedUrl(Shape, frozen=True):
    url: str
    detail: str | None = None

    def without_effect(self) -> Iterable[str]:
        return ["detail"] if self.detail in _DETAILS else []

    def __post_init__(self) -> None:
        check_image_url(self.url, "url")


class Image(Shape, frozen=True, tag_field="type", tag="image_url"):
    """Chat nests the URL in an object, Responses has it flat; clients send both forms under both types."""

    image_url: str | NestedUrl | None = None
    detail: str | None = None
    file_id: str | None = None

    def without_effect(self) -> Iterable[str]:
        return ["detail"] if self.detail in _DETAILS else []

    def __post_init__(self) -> None:
        if isinstance(self.image_url, str):
            check_image_url(self.image_url, "image_url")
        elif self.image_url is None and self.file_id is not None:
            message = "This server stores no files; send the image itself as a data URL in 'image_url'."
            raise Refused("file_id", message, "unsupported_content")
        elif self.image_url is None:
            raise missing("image_url")


class InputImage(Image, frozen=True, tag="input_image"):
    pass


class File(Shape, frozen=True, tag_field="type", tag="file"):
    def __post_init__(self) -> None:
        raise Refused("", "Codex takes no files; put their text into the message.", "unsupported_content")


class InputFile(File, frozen=True, tag="input_file"):
    pass


class Audio(Shape, frozen=True, tag_field="type", tag="input_audio"):
    def __post_init__(self) -> None:
        raise Refused("", "Codex models take no audio.", "unsupported_content")


Part: TypeAlias = Text | InputText | OutputText | Refusal | Image | InputImage | File | InputFile | Audio
Content: TypeAlias = str | list[Part] | None


def input_parts(content: Content) -> list[Mapping[str, Any]]:
    """Return the parts of a message to the model."""
    return _parts(content, "input_text")


def output_parts(content: Content) -> list[Mapping[str, Any]]:
    """Return the parts of a message of the model."""
    return _parts(content, "output_text")


def tool_output(content: Content) -> str | list[Mapping[str, Any]]:
    """Return what a tool gave: a text as it is, parts as parts."""
    return content if isinstance(content, str) else input_parts(content) or ""


def refuse_images(content: Content) -> None:
    """Refuse the content of a model's message if it holds an image.

    Raises:
        Refused: it does.
    """
    if not isinstance(content, list):
        return
    for number, part in enumerate(content):
        if isinstance(part, Image):
            raise Refused(f"content[{number}]", "An assistant message cannot hold an image.")


def _parts(content: Content, text_type: str) -> list[Mapping[str, Any]]:
    if isinstance(content, str):
        return [{"type": text_type, "text": content}]
    return [_part(part, text_type) for part in content or ()]


def _part(part: Part, text_type: str) -> Mapping[str, Any]:
    match part:
        case Text(text) | Refusal(text):
            return {"type": text_type, "text": text}
        case Image(NestedUrl(url, detail)) | Image(str(url), detail):
            detail = _DETAILS.get(detail, detail) if detail else _WHOLE
            return {"type": "input_image", "image_url": url, "detail": detail}
        case _:
            raise AssertionError(f"{part} is refused when it is read")
