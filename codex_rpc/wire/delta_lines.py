"""Reads lines that differ from an earlier one in nothing but the text of their delta, without parsing the rest again.

A model's answer is thousands of such lines. What stands before the text was parsed once, when the first line of the
message came; the text is parsed each time; what stands behind it is a number. Any other line is left to `messages`.
"""

from __future__ import annotations

import orjson

from codex_rpc.wire.protocol import MessageDelta

_BEFORE = b'"delta":"'
_BEHIND = b'"},"emittedAtMs":'
_LONGEST_STAMP = 18
"""Digits of a number that every parser takes for an integer."""


class DeltaLines:
    """The beginnings of lines that are known, one for each thread."""

    def __init__(self) -> None:
        self._known: dict[bytes, MessageDelta] = {}
        self._of_thread: dict[str, bytes] = {}

    def read(self, line: bytes) -> tuple[MessageDelta, str] | None:
        """Return the text of a line with an earlier delta of its message; None if it has to be parsed as a whole."""
        head, _, rest = line.partition(_BEFORE)
        known = self._known.get(head)
        if known is None:
            return None
        text, behind, stamp = rest.rpartition(_BEHIND)
        digits, end = stamp[:-1], stamp[-1:]
        if not behind or end != b"}" or not digits.isdigit() or digits[:1] == b"0" or len(digits) > _LONGEST_STAMP:
            return None
        try:
            return known, orjson.loads(b'"%b"' % text)
        except orjson.JSONDecodeError:
            return None

    def learn(self, line: bytes, delta: MessageDelta) -> None:
        """Know the lines that follow this one, which was parsed as `delta`."""
        params = {"threadId": delta.thread_id, "turnId": delta.turn_id, "itemId": delta.item_id, "delta": ""}
        head = orjson.dumps({"method": "item/agentMessage/delta", "params": params}).removesuffix(_BEFORE + b'"}}')
        if line.startswith(head + _BEFORE):
            self.forget(delta.thread_id)
            self._known[head] = delta
            self._of_thread[delta.thread_id] = head

    def forget(self, thread_id: str) -> None:
        """Know the lines of a thread no longer."""
        head = self._of_thread.pop(thread_id, None)
        if head is not None:
            del self._known[head]
