"""What a response repeats of its request, in the forms of the API however the client wrote it.

Source: the OpenAI API reference, "The response object".
"""

from __future__ import annotations

from typing import Any, cast

from bridge.openai.fields import Object, optional, optional_object, wrong_type
from bridge.openai.model_settings import ModelSettings


def repeated(fields: Object, settings: ModelSettings) -> Object:
    """Return the fields of the response that say how it was asked for; `settings` were read from the same body.

    Raises:
        ApiError: 400, one that has no other effect is malformed.
    """
    text, reasoning = optional_object(fields, "text"), optional_object(fields, "reasoning")
    summary = reasoning.get("summary")
    known: dict[str, Any] = {
        "model": settings.model,
        "instructions": fields.get("instructions"),
        "max_output_tokens": fields.get("max_output_tokens"),
        "max_tool_calls": optional(fields, "max_tool_calls", int),
        "metadata": _metadata(fields),
        "parallel_tool_calls": not settings.one_call_at_a_time,
        "previous_response_id": fields.get("previous_response_id"),
        "prompt_cache_key": settings.hint,
        "reasoning": {"effort": reasoning.get("effort"), "summary": None if summary == "none" else summary},
        "store": optional(fields, "store", bool) is not False,
        "safety_identifier": optional(fields, "safety_identifier", str),
        "temperature": _number(fields, "temperature"),
        "text": {"format": {"type": "text"}, **{name: value for name, value in text.items() if value is not None}},
        "tool_choice": _choice(fields.get("tool_choice") or "auto"),
        "tools": [_tool(tool) for tool in cast("list[Any]", fields.get("tools") or [])],
        "top_logprobs": 0,
        "top_p": _number(fields, "top_p"),
        "truncation": "disabled",
    }
    user = optional(fields, "user", str)
    return known if user is None else {**known, "user": user}


def _metadata(fields: Object) -> Object:
    metadata = optional_object(fields, "metadata")
    for name, value in metadata.items():
        if not isinstance(value, str):
            raise wrong_type(value, "a string", f"metadata.{name}")
    return metadata


def _number(fields: Object, name: str) -> float:
    value = fields.get(name)
    if value is None:
        return 1.0
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise wrong_type(value, "a number", name)


def _tool(tool: Object) -> Object:
    """A tool flat and with its type; a function with all its fields. Codex has no place for `strict`."""
    kind = tool.get("type") or ("custom" if tool.get("custom") is not None else "function")
    flat: Object = tool.get(kind) or tool
    match kind:
        case "function":
            described = {"description": flat.get("description"), "parameters": flat.get("parameters"), "strict": False}
            return {"type": kind, "name": flat["name"], **described}
        case "custom":
            form: Object = flat.get("format") or {"type": "text"}
            form = {"type": "grammar", **form["grammar"]} if form.get("grammar") else form
            return {"type": kind, "name": flat["name"], "description": flat.get("description"), "format": form}
        case "namespace":
            return {
                **tool,
                "description": tool.get("description") or "",
                "tools": [_tool(one) for one in tool["tools"]],
            }
        case _:
            return tool


def _choice(choice: Any) -> str | Object:
    fields: Object = {"type": choice} if isinstance(choice, str) else choice
    kind: str = fields.get("type") or "function"
    if kind in {"auto", "none", "required", "any"}:
        return "required" if kind == "any" else kind
    flat: Object = fields.get(kind) or fields
    return {**flat, "type": kind}
