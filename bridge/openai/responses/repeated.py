"""What a response repeats of its request, in the forms of the API however the client wrote it.

Source: the OpenAI API reference, "The response object".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import to_builtins

from bridge.openai import tool_choice
from bridge.openai.answer_format import Format, JsonSchemaFormat
from bridge.openai.model_settings import ModelSettings, Reasoning, Text
from bridge.openai.responses.fields import ResponseFields
from bridge.openai.shapes import Object, Shape
from bridge.openai.tool_specs import Custom, DeclaredTool, Function, Mcp, Namespace, ToolSearch, WebSearch


def repeated(fields: ResponseFields, tools: Sequence[DeclaredTool], settings: ModelSettings) -> Object:
    """Return the fields of the response that its request determines; `tools` and `settings` are those of `fields`.

    Codex sends the model no sampling parameters, and sets no limit to its tool calls. The response shows these fields
    with the values that hold, the defaults of the API, even if the request has others.
    """
    text, reasoning = fields.text or Text(), fields.reasoning or Reasoning()
    known: dict[str, Any] = {
        "background": fields.background or False,
        "model": settings.model,
        "frequency_penalty": 0.0,
        "instructions": fields.instructions,
        "max_output_tokens": fields.max_output_tokens,
        "max_tool_calls": None,
        "metadata": fields.metadata or {},
        "parallel_tool_calls": not settings.one_call_at_a_time,
        "presence_penalty": 0.0,
        "previous_response_id": fields.previous_response_id,
        "prompt_cache_key": settings.cache_key,
        "reasoning": {
            "effort": reasoning.effort,
            "summary": None if reasoning.summary == "none" else reasoning.summary,
        },
        "store": fields.store is not False,
        "safety_identifier": fields.safety_identifier,
        "temperature": 1.0,
        "text": {"format": _format(text.format)},
        "tool_choice": tool_choice.repeated(fields.tool_choice),
        "tools": [_tool(tool) for tool in tools],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "user": fields.user,
    }
    if text.verbosity is not None:
        known["text"]["verbosity"] = text.verbosity
    if fields.conversation_id is not None:
        known["conversation"] = {"id": fields.conversation_id}
    return known


def _format(form: Format | None) -> Object:
    match form:
        case None:
            return {"type": "text"}
        case JsonSchemaFormat():
            return {"type": "json_schema", **_sent(form.wanted)}
        case _:
            return _sent(form)


def _tool(entry: DeclaredTool) -> Object:
    """A tool flat and with its type; one of the client with all its fields. Codex has no place for `strict`."""
    match entry:
        case Function(name, description):
            described = {"description": description, "parameters": entry.schema, "strict": False}
            return {"type": "function", "name": name, **described}
        case Custom(name, description):
            form = {"type": "grammar", **to_builtins(entry.grammar)} if entry.grammar else {"type": "text"}
            return {"type": "custom", "name": name, "description": description, "format": form}
        case Namespace(name, entries, description):
            tools = [_tool(one) for one in entries]
            return {"type": "namespace", "name": name, "description": description or "", "tools": tools}
        case ToolSearch():
            return {"type": "tool_search", **_sent(entry)}
        case WebSearch():
            return _sent(entry)
        case Mcp():
            return {"type": "mcp", **_sent(entry)}


def _sent(shape: Shape) -> Object:
    """The fields that the client sent."""
    fields: dict[str, Any] = to_builtins(shape)
    return {name: value for name, value in fields.items() if value is not None}
