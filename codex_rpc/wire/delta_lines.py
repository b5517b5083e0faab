"""Reads lines that differ from an earlier line only in the text of their delta, and parses only this text.

A model's answer consists of thousands of such lines. The part before the text was parsed with the first line of the
message; the part after it is a number. Any other line must be parsed by `messages`.
"""

from __future__ import annotations

import orjson

from codex_rpc.wire.events import MessageDelta

_BEFORE = b'"delta":"'
_AFTER = b'"},"emittedAtMs":'
_LONGEST_STAMP = 18
"""Digits of a number that every parser reads as an integer."""


class DeltaLines:
    """The known beginnings of lines, one for each thread."""

    def __init__(self) -> None:
        self._known: dict[bytes, MessageDelta] = {}
        self._of_thread: dict[str, bytes] = {}

    def read(self, line: bytes) -> tuple[MessageDelta, str] | None:
        """Return an earlier delta of the line's message and the line's text; None if the line must be parsed."""
        head, _, rest = line.partition(_BEFORE)
        known = self._known.get(head)
        if known is None:
            return None
        text, after, stamp = rest.rpartition(_AFTER)
        digits, end = stamp[:-1], stamp[-1:]
        if not after or end != b"}" or not digits.isdigit() or digits[:1] == b"0" or len(digits) > _LONGEST_STAMP:
            return None
        try:
            return known, orjson.loads(b'"%b"' % text)
        except orjson.JSONDecodeError:
            return None

    def learn(self, line: bytes, delta: MessageDelta) -> None:
        """Recognise the lines that continue this one, which was parsed as `delta`."""
        params = {"threadId": delta.thread_id, "turnId": delta.turn_id, "itemId": delta.item_id, "delta": ""}
        head = orjson.dumps({"method": "item/agentMessage/delta", "params": params}).removesuffix(_BEFORE + b'"}}')
        if line.startswith(head + _BEFORE):
            self.forget(delta.thread_id)
            self._known[head] = delta
            self._of_thread[delta.thread_id] = head

    def forget(self, thread_id: str) -> None:
        """Stop recognising the lines of a thread."""
        head = self._of_thread.pop(thread_id, None)
        if head is not None:
            del self._known[head]
