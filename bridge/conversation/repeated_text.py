"""Finds the new part of text that may repeat earlier text, because codex retries a response that was cut."""

from __future__ import annotations

from msgspec import Struct


class Repeated(Struct, frozen=True):
    """A complete message that was passed on before."""


class Messages:
    """The text of the messages of one upstream response, without the text that a retry repeats.

    The text of a new item is held while it may repeat a message of the same response.
    """

    def __init__(self) -> None:
        self._id: str | None = None
        self._complete: list[str] = []
        self._passed_on: list[str] = []
        """The pieces of the incomplete message."""
        self._held: str | None = None
        """The text of the current item; None once it is decided that the item is new or continues the message."""
        self._is_retry = False

    @property
    def is_partial(self) -> bool:
        """Whether a part of a message, but not all of it, was passed on."""
        return bool(self._passed_on)

    def retry(self) -> None:
        """Note that codex has reported a retry; over WebSocket it does not report the first one."""
        self._is_retry = True

    def end_response(self) -> None:
        """Forget the messages of a complete response: they will not be repeated."""
        self._complete, self._is_retry = [], False

    def more(self, item_id: str, text: str) -> str | None:
        """Return the new part of a delta; None if it differs from the text that it should repeat."""
        if item_id != self._id:
            self._id = item_id
            self._held = "" if self._passed_on or self._complete else None
        if self._held is not None:
            self._held += text
            new = self._new_text(self._held)
            if not new:
                return new
            self._held, text = None, new
        if text:
            self._passed_on.append(text)
        return text

    def complete(self, whole: str) -> str | Repeated | None:
        """End the current item, whose text is `whole`; return the part that came without deltas.

        None means that the text differs from what was passed on.
        """
        said = "".join(self._passed_on)
        is_undecided = self._held is not None or self._id is None
        self._id = self._held = None
        if is_undecided and whole in self._complete and not (said and whole.startswith(said)):
            return Repeated()
        if is_undecided and not said:
            said = self._repeated_start(whole)
        if not whole.startswith(said):
            return None
        self._complete.append(whole)
        self._passed_on = []
        return whole[len(said) :]

    def _new_text(self, held: str) -> str | None:
        """Return the part of an item's text that is to be passed on; empty while the text may repeat a message."""
        said = "".join(self._passed_on)
        if any(one.startswith(held) for one in (*self._complete, said)):
            return ""
        if said:
            return held[len(said) :] if held.startswith(said) else None
        start = self._repeated_start(held)
        self._passed_on = [start] if start else []
        return held[len(start) :]

    def _repeated_start(self, text: str) -> str:
        """Return the complete message that a text repeats and continues, if codex has reported a retry."""
        repeated = [one for one in self._complete if self._is_retry and text.startswith(one)]
        return max(repeated, key=len, default="")


class Summary:
    """The growing reasoning summary of one item, without the text that a retry repeats under a new item id."""

    def __init__(self) -> None:
        self._id: str | None = None
        self._passed_on: list[str] = []
        self._to_repeat = ""

    def repeats(self, item_id: str) -> bool:
        """Whether text for this item id repeats earlier text."""
        return bool(self._to_repeat) or self._id not in {None, item_id}

    def more(self, item_id: str, text: str) -> str | None:
        """Return the new part of a delta; None if it differs from the text that it should repeat."""
        if self._id is not None and item_id != self._id:
            self._to_repeat = "".join(self._passed_on)
        self._id = item_id
        if self._to_repeat:
            length = min(len(self._to_repeat), len(text))
            if text[:length] != self._to_repeat[:length]:
                return None
            self._to_repeat, text = self._to_repeat[length:], text[length:]
        if text:
            self._passed_on.append(text)
        return text

    def restart(self, text: str) -> str:
        """Accept a delta that differs from the earlier text; return the whole new text, dropped parts included."""
        said = "".join(self._passed_on)
        whole = said[: len(said) - len(self._to_repeat)] + text
        self._passed_on, self._to_repeat = [whole], ""
        return whole

    def complete(self) -> None:
        """Forget the item's text: it will not be repeated."""
        self._id, self._passed_on, self._to_repeat = None, [], ""
