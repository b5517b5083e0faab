"""The output items that grow while the model writes, each with the events that tell how it grows.

Source: the OpenAI API reference, "Streaming events" of Responses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from bridge.conversation.events import StepBegun, StepDone
from bridge.openai.responses.object import Object
from bridge.openai.sse import pieces

Event: TypeAlias = dict[str, Any]

_PHASES = frozenset({"commentary", "final_answer"})
"""The phases of a message that clients know; the upstream has more, such as `partial_answer`."""


class GrowingMessage:
    """The message that is being written."""

    def __init__(self, item_id: str, index: int, phase: str | None) -> None:
        self.index = index
        self._where: Event = {"item_id": item_id, "output_index": index, "content_index": 0}
        self._text: list[str] = []
        self._annotations: list[Object] = []
        self._phase = phase

    def item(self, status: str) -> Object:
        """Return the item as far as it is known."""
        item = {"id": self._where["item_id"], "type": "message", "status": status, "role": "assistant"}
        phase = {"phase": self._phase} if self._phase else {}
        return {**item, **phase, "content": [self._part()] if self._text else []}

    def more(self, text: str) -> Iterator[Event]:
        """Add to the text."""
        if not self._text:
            yield {"type": "response.content_part.added", **self._where, "part": _text_part("", [])}
        self._text.append(text)
        for piece in pieces(text):
            yield {"type": "response.output_text.delta", **self._where, "delta": piece, "logprobs": []}

    def is_really(self, item: Mapping[str, Any]) -> Iterator[Event]:
        """Take from the upstream's item what its deltas did not tell."""
        phase = item.get("phase")
        self._phase = phase if phase is None or phase in _PHASES else "commentary"
        found = (one for part in item["content"] for one in part.get("annotations") or ())
        for annotation in found if self._text else ():
            which = {"annotation_index": len(self._annotations), "annotation": annotation}
            self._annotations.append(annotation)
            yield {"type": "response.output_text.annotation.added", **self._where, **which}

    def end(self, status: str) -> Iterator[Event]:
        """Yield what comes before the complete item."""
        del status
        if self._text:
            text = "".join(self._text)
            yield {"type": "response.output_text.done", **self._where, "text": text, "logprobs": []}
            yield {"type": "response.content_part.done", **self._where, "part": self._part()}

    def _part(self) -> Object:
        return _text_part("".join(self._text), self._annotations)


class GrowingReasoning:
    """The account of the reasoning that is being written, in parts; `source` is its id upstream."""

    def __init__(self, item_id: str, index: int, source: str) -> None:
        self.index = index
        self.source = source
        self._where: Event = {"item_id": item_id, "output_index": index}
        self._complete: list[Object] = []
        self._text: list[str] | None = None
        """The open part; None when none is open."""
        self._encrypted: str | None = None

    def item(self, status: str = "completed") -> Object:
        """Return the item as far as it is known; it has no status."""
        del status
        item = {"id": self._where["item_id"], "type": "reasoning", "summary": [*self._complete]}
        return item if self._encrypted is None else {**item, "encrypted_content": self._encrypted}

    def begin_part(self) -> Iterator[Event]:
        """Begin a part of the summary."""
        yield from self.end()
        self._text = []
        yield {"type": "response.reasoning_summary_part.added", **self._at(), "part": _summary_part("")}

    def more(self, text: str) -> Iterator[Event]:
        """Add to the open part."""
        if self._text is None:
            yield from self.begin_part()
        assert self._text is not None
        self._text.append(text)
        for piece in pieces(text):
            yield {"type": "response.reasoning_summary_text.delta", **self._at(), "delta": piece}

    def is_really(self, item: Mapping[str, Any]) -> Iterator[Event]:
        """Take from the upstream's item what its deltas did not tell."""
        self._encrypted = item.get("encrypted_content")
        if self._text is None and not self._complete:
            for part in item.get("summary") or ():
                yield from self.begin_part()
                yield from self.more(part["text"])

    def end(self, status: str = "completed") -> Iterator[Event]:
        """End the open part."""
        del status
        if self._text is not None:
            part = _summary_part("".join(self._text))
            yield {"type": "response.reasoning_summary_text.done", **self._at(), "text": part["text"]}
            yield {"type": "response.reasoning_summary_part.done", **self._at(), "part": part}
            self._complete.append(part)
            self._text = None

    def _at(self) -> Event:
        return {**self._where, "summary_index": len(self._complete)}


class RunningStep:
    """A step of an agent, as a call of a tool that the server has run itself."""

    def __init__(self, item_id: str, index: int, step: StepBegun) -> None:
        self.index = index
        self._where: Event = {"item_id": item_id, "output_index": index}
        self._arguments = json.dumps(step.arguments, ensure_ascii=False)
        self._approval = step.approval
        self._head = {"id": item_id, "type": "mcp_call", "server_label": step.server, "name": step.name}

    def begun(self) -> Object:
        """Return the item as it begins: without its arguments, which events bring."""
        return self._item("in_progress", "")

    def begin(self) -> Iterator[Event]:
        """Yield what follows the beginning of the item."""
        yield {"type": "response.mcp_call.in_progress", **self._where}
        for piece in pieces(self._arguments):
            yield {"type": "response.mcp_call_arguments.delta", **self._where, "delta": piece}
        yield {"type": "response.mcp_call_arguments.done", **self._where, "arguments": self._arguments}

    def end(self, done: StepDone) -> Iterator[Event]:
        """Yield what comes before the complete item; there is no event for a step that is not complete."""
        if done.is_complete:
            yield {"type": f"response.mcp_call.{'completed' if done.error is None else 'failed'}", **self._where}

    def done(self, done: StepDone) -> Object:
        """Return the complete item."""
        if not done.is_complete:
            return self._item("incomplete", self._arguments, done.output or None)
        if done.error is None:
            return self._item("completed", self._arguments, done.output)
        return self._item("failed", self._arguments, done.output or None, _error(done.error))

    def interrupted(self) -> Object:
        """Return the item of a step whose end is not known."""
        return self._item("incomplete", self._arguments)

    def _item(self, status: str, arguments: str, output: str | None = None, error: Object | None = None) -> Object:
        known = {"arguments": arguments, "output": output, "error": error, "approval_request_id": self._approval}
        return {**self._head, "status": status, **known}


def _error(message: str) -> Object:
    return {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": message}]}


def _text_part(text: str, annotations: list[Object]) -> Object:
    return {"type": "output_text", "text": text, "annotations": [*annotations], "logprobs": []}


def _summary_part(text: str) -> Object:
    return {"type": "summary_text", "text": text}
