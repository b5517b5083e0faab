"""What the Open Responses specification requires of a response object and of a stream's events.

Source: Open Responses, 2026-04-24, the schemas of `ResponseResource` and of the streaming events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct, convert

Number: TypeAlias = int | float
Status: TypeAlias = Literal["queued", "in_progress", "completed", "failed", "incomplete", "cancelled"]


class Reason(Struct):
    reason: str


class Error(Struct):
    code: str
    message: str


class Text(Struct):
    format: dict[str, Any]


class Reasoning(Struct):
    effort: str | None
    summary: str | None


class CachedTokens(Struct):
    cached_tokens: int


class ReasoningTokens(Struct):
    reasoning_tokens: int


class Usage(Struct):
    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: CachedTokens
    output_tokens_details: ReasoningTokens


class ResponseObject(Struct):
    """All fields are required; only those with None in their type may be null."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Status
    incomplete_details: Reason | None
    model: str
    previous_response_id: str | None
    instructions: str | None
    output: list[dict[str, Any]]
    error: Error | None
    tools: list[dict[str, Any]]
    tool_choice: str | dict[str, Any]
    truncation: Literal["auto", "disabled"]
    parallel_tool_calls: bool
    text: Text
    top_p: Number
    presence_penalty: Number
    frequency_penalty: Number
    top_logprobs: int
    temperature: Number
    reasoning: Reasoning | None
    user: str | None
    usage: Usage | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    store: bool
    background: bool
    service_tier: str
    metadata: dict[str, str]
    safety_identifier: str | None
    prompt_cache_key: str | None


class Event(Struct):
    type: str
    sequence_number: int


def check_response(response: object) -> None:
    """Raise msgspec.ValidationError if a response object lacks a field, or has one of another type."""
    read = convert(response, ResponseObject)
    assert (read.completed_at is not None) == (read.status == "completed")
    assert read.status in {"queued", "in_progress"} or read.usage is not None or read.error is not None


def check_stream(events: Sequence[dict[str, Any]]) -> None:
    """Check the events of one response: their numbers, and the response object in each that has one."""
    assert [convert(event, Event).sequence_number for event in events] == [*range(len(events))]
    responses = [event["response"] for event in events if "response" in event]
    assert len(responses) >= 3, "a stream has the response at its beginning, in progress and at its end"
    for response in responses:
        check_response(response)
