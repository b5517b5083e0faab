"""The answers that contain a compaction: that of `/responses/compact`, and a response with a compaction item.

Source: the OpenAI API reference, "Compact a response".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import orjson

from bridge.conversation.events import Failed, Finished, ItemDone, TextDelta, TurnEvent, Used
from bridge.conversation.prompt import Item
from bridge.errors import ApiError, upstream_failed
from bridge.openai.responses.compaction import Compacted, compaction_item, kept_messages
from bridge.openai.responses.object import PREFIX, response_usage
from bridge.openai.usage import NO_USAGE


class Summary:
    """Collects a summary from the events of the turn that writes it."""

    text: str | None = None
    """The whole summary; None before the turn has ended, and if it was cancelled."""
    ended = False

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.usage = NO_USAGE

    def feed(self, events: Iterable[TurnEvent]) -> None:
        """Add events.

        Raises:
            ApiError: 502, the model wrote no summary, or not all of it; or the failure of the turn.
        """
        for event in events:
            match event:
                case TextDelta(text):
                    self._parts.append(text)
                case ItemDone({"type": "message"}) if self._parts:
                    self._parts.append("\n\n")
                case Used(usage):
                    self.usage += usage
                case Failed(error):
                    raise error
                case Finished(reason):
                    self.ended = True
                    text = "".join(self._parts).strip()
                    if reason == "stop" and text:
                        self.text = text
                    elif reason != "cancelled":
                        raise upstream_failed("The model did not complete its summary of the conversation.")
                case _:
                    pass


class ResponseWriter(Protocol):
    """Writes a response."""

    media: Mapping[str, str]

    def feed(self, events: Iterable[TurnEvent], choice: int = 0) -> bytes: ...

    def keep_alive(self) -> bytes: ...

    def fail(self, error: ApiError) -> bytes: ...


class SummaryAsItem:
    """Writes the turn that writes a summary as a response with a compaction item, by the writer of that response."""

    def __init__(
        self, writer: ResponseWriter, items: Sequence[Item], item_id: str, close: Callable[[str], str]
    ) -> None:
        """`items` are those of the conversation, `close` seals a text."""
        self.media = writer.media
        self._writer = writer
        self._kept = kept_messages(items)
        self._item_id = item_id
        self._close = close
        self._summary = Summary()

    def feed(self, events: Iterable[TurnEvent], choice: int = 0) -> bytes:
        """Return the bytes of the response that the events become.

        Raises:
            ApiError: 502, the model did not complete the summary.
        """
        return self._writer.feed(self._as_response(list(events)), choice)

    def keep_alive(self) -> bytes:
        """Return what is sent after a pause of silence."""
        return self._writer.keep_alive()

    def fail(self, error: ApiError) -> bytes:
        """Return the bytes that end a response which cannot be completed."""
        return self._writer.fail(error)

    def _as_response(self, events: Sequence[TurnEvent]) -> list[TurnEvent]:
        self._summary.feed(events)
        passed_on: list[TurnEvent] = [event for event in events if isinstance(event, Used | Finished)]
        if self._summary.text is None:
            return passed_on
        sealed = self._close(Compacted(self._summary.text, self._kept).dumped())
        return [ItemDone(compaction_item(self._item_id, sealed)), *passed_on]


class CompactionWriter:
    """Writes the answer of `/responses/compact`: a compaction item.

    OpenAI lists the user's messages before it. Its Python client has no type for them in an output, so the item alone
    carries them.
    """

    media: Mapping[str, str] = {"content-type": "application/json"}

    def __init__(self, key: str, created: int, items: Sequence[Item], close: Callable[[str], str]) -> None:
        """`items` are those of the conversation, `close` seals a text; `key` becomes part of all ids."""
        self._key = key
        self._created = created
        self._items = items
        self._close = close
        self._summary = Summary()

    def feed(self, events: Iterable[TurnEvent], choice: int = 0) -> bytes:
        """Return the body once the summary is complete, before that nothing.

        Raises:
            ApiError: 502, the model did not complete it.
        """
        del choice
        self._summary.feed(events)
        return b"" if self._summary.text is None else orjson.dumps(self._compaction(self._summary.text))

    def keep_alive(self) -> bytes:
        """Return what is sent after a pause of silence: white space, which JSON allows before a value."""
        return b" "

    def fail(self, error: ApiError) -> bytes:
        """Return the body of an answer whose status is already sent and which cannot be completed."""
        return orjson.dumps(error.body())

    def _compaction(self, summary: str) -> dict[str, Any]:
        content = Compacted(summary, kept_messages(self._items))
        return {
            "id": PREFIX + self._key,
            "object": "response.compaction",
            "created_at": self._created,
            "output": [compaction_item(f"cmp_{self._key}_0", self._close(content.dumped()))],
            "usage": response_usage(self._summary.usage),
        }
