"""The internal form of a request: Responses items as codex takes them, the tools, and the settings of one turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from msgspec import Struct, field

from bridge.conversation.tools import Toolbox

Item: TypeAlias = Mapping[str, Any]
"""A Responses API item (message, function_call, function_call_output, reasoning …) as on the wire."""


class Prompt(Struct, frozen=True):
    """The model's input and settings."""

    model: str
    """Codex's name of the model."""
    items: tuple[Item, ...]
    toolbox: Toolbox = field(default_factory=Toolbox)
    effort: str | None = None
    tier: str | None = None
    summary: str | None = None
    """The kind of reasoning summary, as codex's `model_reasoning_summary`."""
    verbosity: str | None = None
    schema: Mapping[str, Any] | None = None
    """A strict JSON schema for the answer."""
    format_note: str | None = None
    """An instruction about the answer's format, used if no strict schema can express it."""
    choice_note: str | None = None
    """An instruction about the use of tools."""
    one_call_at_a_time: bool = False
    cache_key: str | None = None
    """The client's own name for the conversation (`prompt_cache_key`)."""
    key: str | None = None
    """The id of the client's named key: threads and remembered answers of one key are of no use to another."""

    @property
    def notes(self) -> tuple[str, ...]:
        """The instructions that this server adds to the model's input; each expresses a field of the request."""
        return tuple(note for note in (self.format_note, self.choice_note) if note is not None)

    @property
    def answer_format(self) -> tuple[Any, ...]:
        """The settings that cannot change once a turn has begun."""
        return self.schema, self.format_note

    def thread_settings(self) -> Any:
        """Return, as JSON, the settings that are fixed when a thread starts: another value needs another thread."""
        box = self.toolbox
        settings = [self.model, self.effort, self.tier, self.summary, self.verbosity, box.specs(), box.web_search]
        return [*settings, self.key]


def message(role: str, text: str) -> Item:
    """Return a message with one text part."""
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def function_call(call_id: str, name: str, arguments: str, namespace: str | None = None) -> Item:
    """Return a call; `arguments` is JSON text."""
    call = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
    return call if namespace is None else {**call, "namespace": namespace}


def function_call_output(call_id: str, output: Any) -> Item:
    """Return the output of a call: a text, or a list of input_text and input_image parts."""
    return {"type": "function_call_output", "call_id": call_id, "output": output}
