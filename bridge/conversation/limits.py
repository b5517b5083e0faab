"""Ends an answer at a stop sequence or a token limit. Codex has no parameter for either."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from bridge.conversation.events import Failed, Finished, TextDelta, TurnEvent


class Limits(Struct, frozen=True):
    """Where an answer must end. One upstream text delta counts as one token."""

    stop: tuple[str, ...] = ()
    max_tokens: int | None = None

    def __bool__(self) -> bool:
        return bool(self.stop) or self.max_tokens is not None


class Limiter:
    """Passes on the events of one answer, up to its limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = ""
        self.tokens = 0

    def feed(self, events: Iterable[TurnEvent]) -> list[TurnEvent]:
        """Return the events that may be sent. Text that may begin a stop sequence is held until that is decided."""
        out: list[TurnEvent] = []
        for event in events:
            if isinstance(event, TextDelta):
                out += self._text(event)
            else:
                out += [TextDelta(self._held, 0)] if self._held else []
                self._held = ""
                out.append(event)
            if out and isinstance(out[-1], Finished | Failed):
                break
        return out

    def _text(self, delta: TextDelta) -> list[TurnEvent]:
        self.tokens += delta.tokens
        text = self._held + delta.text
        found = [(at + len(stop), at) for stop in self._limits.stop if (at := text.find(stop)) >= 0]
        if found:
            _, at = min(found)  # the one that is complete first, whatever the deltas
            return [TextDelta(text[:at], delta.tokens), Finished("stop")]
        full = self._limits.max_tokens is not None and self.tokens >= self._limits.max_tokens
        keep = 0 if full else max((_overlap(text, stop) for stop in self._limits.stop), default=0)
        text, self._held = text[: len(text) - keep], text[len(text) - keep :]
        out: list[TurnEvent] = [TextDelta(text, delta.tokens)] if text else []
        return [*out, Finished("length")] if full else out


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of the text may begin the stop sequence."""
    longest = min(len(text), len(stop) - 1)
    return next((length for length in range(longest, 0, -1) if text.endswith(stop[:length])), 0)
