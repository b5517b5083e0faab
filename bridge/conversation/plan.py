"""Decides how to run a prompt: continue a live thread, answer the tool calls of a suspended one, or start a new one.

The client's history is authoritative. A thread is identified by a hash over everything that the client has received of
it: model, tools, settings, and then each item. A thread is reused only if its hash equals the hash of the beginning of
the new prompt, so a thread with any other conversation is never used.

Items that many clients do not receive or do not send back (reasoning, web searches) are not hashed. They are stored by
the same hashes and inserted again when a thread is rebuilt. Reasoning that a client sends back must belong to the
thread.

This module decides synchronously and has no side effects on codex: `threads.py` carries out the plans.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import orjson
from cachetools import FIFOCache
from msgspec import Struct

from bridge.conversation.prefixes import Prefixes
from bridge.conversation.prompt import Item, Prompt
from bridge.conversation.reasoning_owners import ReasoningOwners, digest_reasoning
from bridge.conversation.remembered_answers import RememberedAnswers
from bridge.json_values import is_deeper_than

H = TypeVar("H")

DEEPEST = 100
"""Nesting levels up to which JSON arguments are compared as values."""
LOST = 4096
"""Number of lost threads whose reason is kept."""
HASH_SIZE = 64
"""Bytes of memory of one hash in a list."""


# ── Hashes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class HistoryHash(Struct, frozen=True):
    """The hashes of a prompt's history, by which its thread is found."""

    hashes: Sequence[bytes]
    """n + 1 hashes for n items: the first covers the settings alone, each further one covers one more item.

    An item that clients may leave out does not change the hash.
    """
    reasoning_digests: frozenset[bytes]
    """The digests of the encrypted reasoning among the items."""

    @property
    def end(self) -> bytes:
        """The hash of the whole prompt."""
        return self.hashes[-1]


class HistoryHashes:
    """Hashes prompts; of a prompt that continues a recent one, only the new items are hashed."""

    def __init__(self) -> None:
        self._recent: Prefixes[HistoryHash] = Prefixes(operator.is_)

    def of(self, prompt: Prompt) -> HistoryHash:
        """Return the history hash of a prompt."""
        settings = _digest(prompt.thread_settings())
        before = self._recent.find(settings, prompt.items)
        start = before.value if before else HistoryHash([settings], frozenset())
        new = prompt.items[len(start.hashes) - 1 :]
        if not new:
            return start
        history_hash = HistoryHash(
            [*start.hashes[:-1], *_chain(start.end, new)], start.reasoning_digests | digest_reasoning(new)
        )
        self._recent.remember(before, settings, prompt.items, history_hash, added=HASH_SIZE * len(new))
        return history_hash


def advance(start: bytes, items: Sequence[Item]) -> bytes:
    """Return the hash of the history that continues `start` with these items."""
    *_, end = _chain(start, items)
    return end


def _chain(start: bytes, items: Sequence[Item]) -> Iterator[bytes]:
    yield start
    for item in items:
        if not _may_be_left_out(item):
            start = hashlib.blake2b(start + _digest(_canonical(item)), digest_size=16).digest()
        yield start


def _digest(value: Any) -> bytes:
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _canonical(item: Item) -> Any:
    """Return what is hashed of an item: clients strip trailing white space from answers and reformat JSON."""
    match item:
        case {"type": "message", "role": "assistant", "content": parts}:
            return "assistant", "".join(part.get("text", "") for part in parts).rstrip()
        case {"type": "message", "role": role, "content": parts}:
            return role, parts
        case {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}:
            return "call", call_id, name, item.get("namespace"), _parsed(arguments)
        case {"type": "function_call_output", "call_id": call_id, "output": output}:
            return "output", call_id, output
        case _:
            return {name: value for name, value in item.items() if name not in {"id", "status"}}


def _parsed(arguments: str) -> Any:
    """Return JSON as a value with its numbers as written; invalid or unusual JSON as the original text."""
    try:
        value = json.loads(arguments, parse_int=_number, parse_float=_number, parse_constant=_number)
        if r"\u" in arguments:
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate cannot be encoded
    except (ValueError, RecursionError):
        return "text", arguments
    return ("text", arguments) if is_deeper_than(value, DEEPEST) else ("json", value)


def _number(text: str) -> Any:
    return {"number": text}


# ── Plans ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class CachedThread(Struct, Generic[H], eq=False):
    """A live thread that may be reused; `handle` identifies it to the code that carries out the plans."""

    handle: H
    end: bytes
    """The hash of everything that the client has received of it."""
    notes: tuple[str, ...]
    answer_format: tuple[Any, ...]
    awaits: frozenset[str] = frozenset()
    """The ids of the calls whose outputs it waits for; empty if its last turn is complete."""
    cache_key: str | None = None
    """The client's own name for the conversation, if it has one; it decides between threads with the same hash."""
    reasoning_digests: frozenset[bytes] = frozenset()
    """The digests of the encrypted reasoning that it holds."""


class Continue(Struct, Generic[H], frozen=True):
    """Add the new items to the thread and run a turn."""

    thread: CachedThread[H]
    items: tuple[Item, ...]


class AnswerTools(Struct, Generic[H], frozen=True):
    """Give the outputs to the suspended turn, which then continues; `items` follow the outputs."""

    thread: CachedThread[H]
    outputs: Mapping[str, Any]
    """Call id → output, as in a function_call_output item."""
    items: tuple[Item, ...]


class NewThread(Struct, frozen=True):
    """Start a thread and give it all items."""

    items: tuple[Item, ...]
    thread_outcome: Literal["new", "rebuilt"]
    reason: str


ThreadPlan: TypeAlias = Continue[H] | AnswerTools[H] | NewThread


class Conversations(Generic[H]):
    """The cached threads and answers. A thread that is in use is not cached until it is put back."""

    def __init__(self, answers: RememberedAnswers, owners: ReasoningOwners | None = None) -> None:
        self._threads: dict[bytes, list[CachedThread[H]]] = {}
        self._lost: FIFOCache[bytes, str] = FIFOCache(LOST)
        self._answers = answers
        self._owners = owners or ReasoningOwners()

    def plan(self, prompt: Prompt, history_hash: HistoryHash, owner: str = "") -> ThreadPlan[H]:
        """Return the plan for a prompt with this history hash, and remove the plan's thread from the cache.

        A new thread gets no reasoning that is known to belong to an account other than `owner`.
        """
        for length in range(len(prompt.items), 0, -1):
            newest_first = self._threads.get(history_hash.hashes[length], [])[::-1]
            for thread in sorted(newest_first, key=lambda thread: thread.cache_key != prompt.cache_key):
                plan = _fitting(thread, prompt, prompt.items[length:])
                if plan is not None and history_hash.reasoning_digests <= thread.reasoning_digests:
                    self._take(thread)
                    return plan
        return self._new_thread(prompt, history_hash.hashes, owner)

    def put(self, thread: CachedThread[H]) -> None:
        """Cache a thread that is ready for its next request; `plan` finds the newest thread with a hash first."""
        self._threads.setdefault(thread.end, []).append(thread)
        self._lost.pop(thread.end, None)

    def lose(self, thread: CachedThread[H], reason: str) -> None:
        """Remove a thread from the cache, if it is there, and remember the reason."""
        if thread in self._threads.get(thread.end, ()):
            self._take(thread)
        self.lost(thread.end, reason)

    def lost(self, end: bytes, reason: str) -> None:
        """Remember why there is no thread with this hash."""
        self._lost[end] = reason

    def remember(self, start: bytes, expected: Sequence[Item], items: Sequence[Item]) -> None:
        """Keep the items of an answer after the hash `start`; the client is expected to send it back as `expected`."""
        hashed = sum(not _may_be_left_out(item) for item in expected)
        if hashed:
            self._answers.remember(advance(start, expected), hashed, items)

    def forget_old_answers(self) -> None:
        """Free the memory of answers that are too old."""
        self._answers.forget_old()

    def _take(self, thread: CachedThread[H]) -> None:
        equal = self._threads[thread.end]
        equal.remove(thread)
        if not equal:
            del self._threads[thread.end]

    def _new_thread(self, prompt: Prompt, hashes: Sequence[bytes], owner: str) -> NewThread:
        items = self._owners.usable(self._with_original_answers(prompt.items, hashes), owner)
        if not any(_is_answer(item) for item in prompt.items):
            return NewThread(items, "new", "first-request")
        reasons = (self._lost[one] for one in reversed(hashes) if one in self._lost)
        return NewThread(items, "rebuilt", next(reasons, "unknown-history"))

    def _with_original_answers(self, items: Sequence[Item], hashes: Sequence[bytes]) -> tuple[Item, ...]:
        """Replace the client's answers by the original ones, but keep an answer that came back with other reasoning."""
        last_first: list[Sequence[Item]] = []
        end = len(items)
        while end:
            answer = None if _may_be_left_out(items[end - 1]) else self._answers.get(hashes[end])
            start = end - 1 if answer is None else _start_of_answer(items, end, answer.length)
            sent = items[start:end]
            if answer is not None and digest_reasoning(sent) <= digest_reasoning(original := answer.items()):
                last_first.append(original)
            else:
                last_first.append(sent)
            end = start
        return tuple(chain.from_iterable(reversed(last_first)))


def _start_of_answer(items: Sequence[Item], end: int, length: int) -> int:
    """Return the position before `length` hashed items and before the items in front of them that are not hashed."""
    while end and (length or _may_be_left_out(items[end - 1])):
        end -= 1
        length -= not _may_be_left_out(items[end])
    return end


def _fitting(thread: CachedThread[H], prompt: Prompt, rest: tuple[Item, ...]) -> ThreadPlan[H] | None:
    """Return the plan that gives the rest of the prompt to the thread; None if the thread cannot take it."""
    if any(_is_answer(item) for item in rest):
        return None
    if not thread.awaits:
        return Continue(thread, rest) if rest and thread.notes == prompt.notes else None
    outputs = {item["call_id"]: item["output"] for item in rest[: len(thread.awaits)] if _is_output(item)}
    if outputs.keys() != thread.awaits or thread.answer_format != prompt.answer_format:
        return None
    more = rest[len(thread.awaits) :]
    return None if any(map(_is_output, more)) else AnswerTools(thread, outputs, more)


def _is_output(item: Item) -> bool:
    return item["type"] == "function_call_output"


def _may_be_left_out(item: Item) -> bool:
    """Whether clients may leave the item out of the history without changing its hash."""
    return item["type"] in {"reasoning", "web_search_call"}


def _is_answer(item: Item) -> bool:
    """Whether the item was written by the model."""
    return item["type"] == "function_call" or item.get("role") == "assistant" or _may_be_left_out(item)
