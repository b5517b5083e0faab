"""How the model's reasoning is shown inside an answer's text, and how it is taken out again when it comes back.

What we add to the text must not stay in the history: it would no longer be what the model said, and match no thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bridge.config import ReasoningDisplay
from bridge.conversation.prompt import Item

OPEN = {"think": "<think>\n", "details": "<details><summary>Reasoning</summary>\n\n"}
CLOSE = {"think": "\n</think>\n\n", "details": "\n\n</details>\n\n"}
BLOCK_DISPLAYS = frozenset(OPEN)
"""The displays that put reasoning into the text."""
_BLOCKS = {
    kind: re.compile(re.escape(OPEN[kind]) + ".*?" + re.escape(CLOSE[kind].rstrip()) + r"(?:\n\n|\s*\Z)", re.DOTALL)
    for kind in OPEN
}

PARAGRAPH = "\n\n"
"""What stands between two parts of the reasoning."""

_UNSEEN = "\u200b"
"""Keeps a closing mark inside the reasoning from ending its block."""


def strip_blocks(text: str, display: ReasoningDisplay) -> str:
    """Return a text without the blocks that this display has put into it."""
    return _BLOCKS[display].sub("", text) if display in _BLOCKS else text


def without_blocks(items: Sequence[Item], display: ReasoningDisplay) -> Sequence[Item]:
    """Return items of a history without what this display has put into the model's messages."""
    return list(_without_blocks(items, display)) if items and display in BLOCK_DISPLAYS else items


def _without_blocks(items: Sequence[Item], display: ReasoningDisplay) -> Iterator[Item]:
    """What was nothing but a block in front of calls was no message of the model."""
    for item, following in zip(items, [*items[1:], {}], strict=True):
        if item.get("role") != "assistant":
            yield item
            continue
        parts = [{**part, "text": strip_blocks(part["text"], display)} for part in item["content"]]
        if any(part["text"] for part in parts) or following.get("type") != "function_call":
            yield {**item, "content": parts}


class ReasoningBlocks:
    """Wraps runs of reasoning of one answer into blocks."""

    def __init__(self, display: ReasoningDisplay) -> None:
        self._display = display
        self._open = False
        self._ends_in_bracket: bool = False
        self._told = False
        self._paragraph = ""

    def begin_part(self) -> None:
        """What comes next of the reasoning is a paragraph of its own."""
        self._paragraph = PARAGRAPH if self._told else ""

    def paragraph(self, text: str) -> str:
        """Return a piece of reasoning, set off from what came before where a part begins."""
        text, self._paragraph, self._told = self._paragraph + text, "", True
        return text

    def reasoning(self, text: str) -> str:
        """Return what a piece of reasoning adds to the answer's text."""
        if self._display not in OPEN:
            return ""
        begin = "" if self._open else OPEN[self._display]
        text = _UNSEEN + text if self._ends_in_bracket and text.startswith("/") else text
        self._open, self._ends_in_bracket = True, text.endswith("<")
        return begin + text.replace("</", f"<{_UNSEEN}/")

    def close(self) -> str:
        """Return what has to come before anything that is no reasoning."""
        was_open, self._open = self._open, False
        self._ends_in_bracket = False
        return CLOSE[self._display] if was_open else ""
