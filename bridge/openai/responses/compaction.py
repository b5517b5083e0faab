"""Compaction: a summary takes the place of a long conversation.

1. The model writes the summary, in a turn of its own without tools.
2. A compaction item holds it, sealed, so that it can only come back unchanged and to a server that can read it.
3. An item that comes back stands for everything before it in the input: calls, outputs, reasoning and the model's
   messages are dropped, the messages of user and developer stay, and the summary follows them.
4. A client may drop these messages too. So the item also holds them, and those that the client does not send come back.

Source: the OpenAI API reference, "Compact a response" and "Compaction".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias, cast

import orjson
from msgspec import Struct
from msgspec.structs import replace

from bridge.conversation.limits import Limits
from bridge.conversation.prompt import Item, message
from bridge.conversation.tools import Toolbox
from bridge.errors import invalid_request
from bridge.openai.model_settings import ModelSettings
from bridge.openai.responses.object import Object
from bridge.store.seal import SealError

INSTRUCTION = (
    "The conversation above is about to be replaced by a summary. Write that summary now, for a model that will "
    "continue the conversation and will see only the messages of the user and your summary. Keep everything that it "
    "needs: what the user wants and has decided, what was done and with which result, facts, names, numbers, paths and "
    "code that matter, open questions, and the next steps. Do not continue the conversation, do not call tools, and "
    "write nothing but the summary."
)
"""What the model is asked, as a developer message at the end of the conversation."""

PREFACE = "Summary of the conversation so far, written by the model itself:\n\n"
"""The beginning of the user message that carries a summary."""

TRIGGER = "compaction_trigger"

_KEPT = frozenset({"developer", "user"})
"""The roles whose messages stay."""

Unseal: TypeAlias = Callable[[str], str]
"""Opens a sealed text; raises SealError."""


class Compacted(Struct, frozen=True):
    """The content of a compaction item."""

    summary: str
    kept: Sequence[Item]
    """Messages that the client need not send again, as items of a prompt."""

    def dumped(self) -> str:
        """Return it as JSON."""
        return orjson.dumps([self.summary, list(self.kept)]).decode()

    @classmethod
    def opened(cls, sealed: str, unseal: Unseal, param: str) -> Compacted:
        """Open a sealed item.

        Raises:
            ApiError: 400 for the field `param`, the item is from elsewhere or was changed.
        """
        try:
            return cls(*orjson.loads(unseal(sealed)))
        except SealError:
            text = (
                "This compaction item cannot be read: it was made by another server or with another key, or it was "
                "changed. Send the conversation itself, or compact it again."
            )
            raise invalid_request(text, param, "invalid_encrypted_content") from None


def needs_key(values: Iterable[Any]) -> bool:
    """Return whether input values contain a compaction item, or ask for one."""
    return any(_type_of(value) in ("compaction", TRIGGER) for value in values)


def is_trigger(value: Any) -> bool:
    """Return whether an input value asks for a compaction."""
    return _type_of(value) == TRIGGER


def _type_of(value: Any) -> object:
    return cast("Object", value).get("type") if isinstance(value, dict) else None


def placeholder(compacted: Compacted) -> Item:
    """Return the item that stands for a compaction item until `condensed` replaces it."""
    return {"type": "compaction", "summary": compacted.summary, "kept": compacted.kept}


def condensed(items: Sequence[Item]) -> Sequence[Item]:
    """Return the items as the model sees them: everything before the last compaction is replaced by its content."""
    last = max((place for place, item in enumerate(items) if item["type"] == "compaction"), default=None)
    if last is None:
        return items
    before = kept_messages(items[:last])
    earlier = [one for item in items[:last] if item["type"] == "compaction" for one in item["kept"]]
    forgotten: list[Item] = []
    for one in (*earlier, *items[last]["kept"]):
        if one not in before and one not in forgotten:
            forgotten.append(one)
    return [*forgotten, *before, message("user", PREFACE + items[last]["summary"]), *items[last + 1 :]]


def kept_messages(items: Iterable[Item]) -> list[Item]:
    """Return the messages that a compaction keeps: those of user and developer, without earlier summaries."""
    return [item for item in items if item.get("role") in _KEPT and not _is_summary(item)]


def may_be_dropped(item: Item) -> bool:
    """Return whether a compaction replaces the item by its summary."""
    return item.get("role") not in _KEPT


def _is_summary(item: Item) -> bool:
    parts: Sequence[Object] = item["content"]
    return bool(parts) and parts[0].get("text", "").startswith(PREFACE)


def to_summarise(items: Sequence[Item]) -> tuple[Item, ...]:
    """Return the prompt that asks the model for a summary of the items."""
    return (*items, message("developer", INSTRUCTION))


def summary_settings(settings: ModelSettings) -> ModelSettings:
    """Return the settings of the turn that writes the summary: the same model and effort, plain text, no tools."""
    return replace(
        settings,
        toolbox=Toolbox(),
        schema=None,
        format_note=None,
        choice_note=None,
        verbosity=None,
        one_call_at_a_time=False,
        limits=Limits(),
    )


def compaction_item(item_id: str, sealed: str) -> Object:
    """Return the item as the client receives it."""
    return {"id": item_id, "type": "compaction", "encrypted_content": sealed}
