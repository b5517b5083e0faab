"""Texts of which only the beginning and the end are kept, because commands may print without limit."""

from __future__ import annotations

LONGEST = 16 * 1024
"""Bytes of UTF-8 of the kept text."""

_HALF = LONGEST // 2


def bounded(text: str) -> str:
    """Return the text, or its beginning and end with a line between them that says how much is left out."""
    collected = BoundedText()
    collected.add(text)
    return collected.text()


def is_whole(text: str) -> bool:
    """Return whether nothing was left out of a text that `bounded` has returned."""
    return len(text.encode("utf-8", "replace")) <= LONGEST


class BoundedText:
    """A growing text; of a long one, only the beginning and the end take memory."""

    def __init__(self) -> None:
        self._head = b""
        self._tail = b""
        self._left_out = 0

    def add(self, text: str) -> None:
        """Add to the end of the text."""
        more = text.encode("utf-8", "replace")
        room = _HALF - len(self._head)
        self._head += more[:room]
        tail = self._tail + more[room:]
        self._left_out += max(len(tail) - _HALF, 0)
        self._tail = tail[-_HALF:]

    def text(self) -> str:
        """Return the text as far as it is kept."""
        if not self._left_out:
            return (self._head + self._tail).decode()
        gap = f"\n[{self._left_out} bytes left out]\n"
        return self._head.decode(errors="ignore") + gap + self._tail.decode(errors="ignore")
