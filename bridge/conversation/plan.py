"""Decides what becomes of a prompt: continue a living thread, answer the tools of a suspended one, or start afresh.

The client's history is the truth. A thread is known by a hash over everything that the client has seen of it: model,
tools, settings, and then item after item. It is used again only when its hash is the hash of the beginning of the new
prompt, so that a thread that is not exactly this conversation is never touched.

What many clients never see or do not send back (reasoning, web searches) is no part of the hash. It is remembered by
the same hashes and put back when a thread is rebuilt. Reasoning that a client does send back must be the thread's own.

Decides synchronously and does nothing: `threads.py` carries the plans out.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import orjson
from msgspec import Struct

from bridge.conversation.prefixes import Prefixes, size_of
from bridge.conversation.prompt import Item, Prompt
from bridge.json_values import is_deeper_than

H = TypeVar("H")

REMEMBERED = 64 * 1024 * 1024
"""Bytes of finished answers (JSON) that are kept for rebuilding."""
DEEPEST = 100
"""Levels of JSON arguments that are compared as values."""
LOST = 4096
"""Threads that are gone and of which we still know why."""


# ── Hashes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class HistoryHash(Struct, frozen=True):
    """What a prompt is recognised by."""

    hashes: Sequence[bytes]
    """For n items n + 1: the first of the settings alone, each further one of one item more.

    An item that clients may leave out does not change the hash.
    """
    reasoning_digests: frozenset[bytes]
    """The marks of the encrypted reasoning among the items."""

    @property
    def end(self) -> bytes:
        """The hash of all of it."""
        return self.hashes[-1]


class HistoryHashes:
    """HistoryHashes of prompts; what is new in a prompt whose beginning is known is all that its history_hash costs."""

    def __init__(self) -> None:
        self._recent: Prefixes[HistoryHash] = Prefixes(operator.is_)

    def of(self, prompt: Prompt) -> HistoryHash:
        """Return the history_hash of a prompt."""
        settings = _digest(prompt.thread_settings())
        before = self._recent.find(settings, prompt.items)
        known = before.value if before else HistoryHash([settings], frozenset())
        new = prompt.items[len(known.hashes) - 1 :]
        if not new:
            return known
        history_hash = HistoryHash(
            [*known.hashes[:-1], *_chain(known.end, new)], known.reasoning_digests | digest_reasoning(new)
        )
        self._recent.remember(before, settings, prompt.items, history_hash, added=size_of(new))
        return history_hash


def history_hash_of(prompt: Prompt) -> HistoryHash:
    """Return the history_hash of a prompt of which nothing is known."""
    return HistoryHashes().of(prompt)


def advance(start: bytes, items: Sequence[Item]) -> bytes:
    """Return the hash after further items."""
    *_, end = _chain(start, items)
    return end


def digest_reasoning(items: Iterable[Item]) -> frozenset[bytes]:
    """Return a mark for each encrypted reasoning among the items."""
    encrypted = (item.get("encrypted_content") for item in items if item["type"] == "reasoning")
    return frozenset(hashlib.blake2b(one.encode(), digest_size=16).digest() for one in encrypted if one)


def _chain(start: bytes, items: Sequence[Item]) -> Iterator[bytes]:
    yield start
    for item in items:
        if not _is_unseen(item):
            start = hashlib.blake2b(start + _digest(_canonical(item)), digest_size=16).digest()
        yield start


def _digest(value: Any) -> bytes:
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _canonical(item: Item) -> Any:
    """What tells an item from another: clients cut white space off the end of our answers, and lay JSON out anew."""
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
    """JSON as a value whose numbers are as they were written; anything else, or anything strange, as the text it is."""
    try:
        value = json.loads(arguments, parse_int=_number, parse_float=_number, parse_constant=_number)
        if r"\u" in arguments:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair cannot be written
    except (ValueError, RecursionError):
        return "text", arguments
    return ("text", arguments) if is_deeper_than(value, DEEPEST) else ("json", value)


def _number(text: str) -> Any:
    return {"number": text}


# ── Plans ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class CachedThread(Struct, Generic[H], eq=False):
    """A living thread as it is remembered; `handle` is what the carrier of plans knows it by."""

    handle: H
    end: bytes
    """The hash of all that the client has seen of it."""
    notes: tuple[str, ...]
    answer_format: tuple[Any, ...]
    awaits: frozenset[str] = frozenset()
    """The ids of the calls whose outputs it waits for; empty when its last turn is complete."""
    cache_key: str | None = None
    """The client's own name for the conversation, if it has one: of equal threads that one is taken."""
    reasoning_digests: frozenset[bytes] = frozenset()
    """The marks of the encrypted reasoning that it holds."""


class Continue(Struct, Generic[H], frozen=True):
    """Add the new items to the thread and run a turn."""

    thread: CachedThread[H]
    items: tuple[Item, ...]


class AnswerTools(Struct, Generic[H], frozen=True):
    """Give the outputs to the suspended turn, which goes on; `items` belong behind the outputs."""

    thread: CachedThread[H]
    outputs: Mapping[str, Any]
    """Call id → output, as in a function_call_output item."""
    items: tuple[Item, ...]


class NewThread(Struct, frozen=True):
    """Start a thread and give it everything."""

    items: tuple[Item, ...]
    thread_outcome: Literal["new", "rebuilt"]
    reason: str


ThreadPlan: TypeAlias = Continue[H] | AnswerTools[H] | NewThread


class _Answer(Struct, frozen=True):
    """A finished answer: as the client echoes it (so many hashed items from one hash to another), and as it was."""

    start: bytes
    length: int
    end: bytes
    items: tuple[Item, ...]
    size: int


class Conversations(Generic[H]):
    """What is remembered of threads and answers. A thread that is in use is not remembered until it is put back."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._threads: dict[bytes, list[CachedThread[H]]] = {}
        self._lost: OrderedDict[bytes, str] = OrderedDict()
        self._answers: OrderedDict[bytes, list[_Answer]] = OrderedDict()
        self._room = remembered

    def plan(self, prompt: Prompt, history_hash: HistoryHash) -> ThreadPlan[H]:
        """Decide for a prompt with its history_hash; the thread of the plan is taken out of the memory."""
        for length in range(len(prompt.items), 0, -1):
            newest_first = self._threads.get(history_hash.hashes[length], [])[::-1]
            for thread in sorted(newest_first, key=lambda thread: thread.cache_key != prompt.cache_key):
                plan = _fitting(thread, prompt, prompt.items[length:])
                if plan is not None and history_hash.reasoning_digests <= thread.reasoning_digests:
                    self._take(thread)
                    return plan
        return self._afresh(prompt, history_hash.hashes)

    def put(self, thread: CachedThread[H]) -> None:
        """Remember a thread that is ready for what comes next; the newest of equal threads is found first."""
        self._threads.setdefault(thread.end, []).append(thread)
        self._lost.pop(thread.end, None)

    def lose(self, thread: CachedThread[H], reason: str) -> None:
        """Forget a thread, if it is remembered at all, and remember why it is gone."""
        if thread in self._threads.get(thread.end, ()):
            self._take(thread)
        self.lost(thread.end, reason)

    def lost(self, end: bytes, reason: str) -> None:
        """Remember why there is no thread with this hash."""
        self._lost[end] = reason
        while len(self._lost) > LOST:
            self._lost.popitem(last=False)

    def remember(self, start: bytes, echo: Sequence[Item], items: Sequence[Item]) -> None:
        """Keep the items of an answer that went from `start`, which the client echoes as `echo`."""
        if not echo:
            return
        seen = sum(not _is_unseen(item) for item in echo)
        answer = _Answer(start, seen, advance(start, echo), tuple(items), len(orjson.dumps(list(items))))
        self._answers.setdefault(start, []).append(answer)
        self._answers.move_to_end(start)
        self._room -= answer.size
        while self._room < 0 and self._answers:
            _, oldest = self._answers.popitem(last=False)
            self._room += sum(one.size for one in oldest)

    def _take(self, thread: CachedThread[H]) -> None:
        equal = self._threads[thread.end]
        equal.remove(thread)
        if not equal:
            del self._threads[thread.end]

    def _afresh(self, prompt: Prompt, chain: Sequence[bytes]) -> NewThread:
        items = tuple(self._with_what_the_client_never_saw(prompt.items, chain))
        if not any(_is_answer(item) for item in prompt.items):
            return NewThread(items, "new", "first-request")
        reasons = (self._lost[one] for one in reversed(chain) if one in self._lost)
        return NewThread(items, "rebuilt", next(reasons, "unknown-history"))

    def _with_what_the_client_never_saw(self, items: Sequence[Item], chain: Sequence[bytes]) -> Iterator[Item]:
        """An answer that the client has sent back with other reasoning than it had stays as the client has it."""
        position = 0
        while position < len(items):
            for answer in self._answers.get(chain[position], ()):
                after = _after(items, position, answer.length)
                if after is not None and chain[after] == answer.end:
                    echo = items[position:after]
                    yield from answer.items if digest_reasoning(echo) <= digest_reasoning(answer.items) else echo
                    position = after
                    break
            else:
                yield items[position]
                position += 1


def _after(items: Sequence[Item], position: int, length: int) -> int | None:
    """The position behind so many hashed items; None if there are not so many."""
    while length:
        if position == len(items):
            return None
        length -= not _is_unseen(items[position])
        position += 1
    return position


def _fitting(thread: CachedThread[H], prompt: Prompt, rest: tuple[Item, ...]) -> ThreadPlan[H] | None:
    """Return the plan that brings the rest of the prompt to the thread; None if the thread cannot take it."""
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


def _is_unseen(item: Item) -> bool:
    """Whether clients may leave an item out of the history without changing it."""
    return item["type"] in {"reasoning", "web_search_call"}


def _is_answer(item: Item) -> bool:
    """Whether an item is the model's own."""
    return item["type"] == "function_call" or item.get("role") == "assistant" or _is_unseen(item)
