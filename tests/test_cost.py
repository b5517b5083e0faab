"""The cost of a turn does not grow with the conversation; counted in function calls, which are the same everywhere."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from types import FrameType
from typing import Any, TypeVar

import orjson
import pytest

from bridge.codex.models import ModelChoice
from bridge.conversation.plan import CachedThread, Continue, Conversations, HistoryHashes
from bridge.conversation.prompt import Item
from bridge.conversation.remembered_answers import RememberedAnswers
from bridge.json_values import decode_json
from bridge.openai.chat.request import parse
from bridge.openai.model_settings import ModelSettings
from bridge.openai.responses.fields import read_body
from bridge.openai.responses.input import Recent
from bridge.openai.responses.request import begin
from bridge.store.histories import Histories
from bridge.store.response import Stored

T = TypeVar("T")


class Counter:
    """Counts the function calls in its block, C functions included.

    Garbage of other tests is collected first, so that its finalisers are not counted.
    """

    count = 0

    def __enter__(self) -> None:
        gc.collect()
        gc.disable()
        self.count = 0
        self._before = sys.getprofile()
        sys.setprofile(self._note)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)
        gc.enable()

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        del frame, argument
        self.count += event in {"call", "c_call"}


def calls(work: Callable[[], object]) -> int:
    """Return the number of function calls that the work makes."""
    with (counter := Counter()):
        work()
    return counter.count


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def chat_body(turns: int) -> bytes:
    messages: list[dict[str, Any]] = []
    for number in range(turns):
        call = {"id": f"c{number}", "type": "function", "function": {"name": "look", "arguments": '{"at": [1, 2]}'}}
        messages += [
            {"role": "user", "content": f"question {number}"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{number}", "content": "found"},
            {"role": "assistant", "content": f"answer {number}"},
        ]
    return orjson.dumps({"model": "m", "messages": [*messages, {"role": "user", "content": f"question {turns}"}]})


def said_in(turn: int) -> list[dict[str, Any]]:
    """Return the items of a turn with a tool call and its output."""
    return [
        {"type": "reasoning", "id": f"rs_{turn}", "summary": [], "encrypted_content": f"secret {turn}"},
        {"type": "function_call", "call_id": f"c{turn}", "name": "look", "arguments": '{"at": [1, 2]}'},
        {"type": "function_call_output", "call_id": f"c{turn}", "output": "found"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": f"answer {turn}"}]},
    ]


def question(turn: int) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": f"question {turn}"}


def response_body(turns: int) -> bytes:
    values = [value for turn in range(turns) for value in (question(turn), *said_in(turn))]
    return orjson.dumps({"model": "m", "instructions": "Be brief.", "input": [*values, question(turns)]})


class Planner:
    """Plans prompts on cached threads."""

    def __init__(self) -> None:
        self._history_hashes = HistoryHashes()
        self._conversations = Conversations[str](RememberedAnswers(600, lambda: 0))

    def plan(self, settings: ModelSettings, items: tuple[Item, ...]) -> None:
        """Cache a thread with all items but the last; check that the plan continues it."""
        prompt = settings.prompt(items, ModelChoice("m"), None)
        history_hash = self._history_hashes.of(prompt)
        self._conversations.put(
            CachedThread(
                "t", history_hash.hashes[-2], (), prompt.answer_format, reasoning_digests=history_hash.reasoning_digests
            )
        )
        assert isinstance(self._conversations.plan(prompt, history_hash), Continue)


def cost_of_a_chat_turn(turns: int, body: Callable[[int], bytes] = chat_body) -> int:
    """Return the calls that the turn after `turns` turns costs, from the body to the plan."""
    recent, planner = Recent(), Planner()

    def take(data: bytes) -> None:
        chat = parse(decode_json(data), recent=recent)
        planner.plan(chat.settings, chat.items)

    take(body(turns))
    following = body(turns + 1)
    return calls(lambda: take(following))


def cost_of_a_whole_input(turns: int) -> int:
    """Return the calls of the turn after `turns` turns when the client sends the items of all turns."""
    recent, planner = Recent(), Planner()

    def take(data: bytes) -> None:
        partial_request = begin(read_body(decode_json(data)), (), recent)
        assert partial_request.input.references() == ()
        request = partial_request.read({})
        planner.plan(request.settings, request.items)

    take(response_body(turns))
    following = response_body(turns + 1)
    return calls(lambda: take(following))


class MemoryStore:
    """Stores responses without waiting, and notes which chains are read."""

    def __init__(self) -> None:
        self._stored: dict[str, Stored] = {}
        self.chains_read: list[str] = []

    async def put(self, stored: Stored) -> None:
        self._stored[stored.id] = stored

    async def get(self, response_id: str) -> Stored | None:
        raise AssertionError(response_id)

    async def use(self, response_id: str) -> bool:
        return response_id in self._stored

    async def chain(self, response_id: str) -> list[Stored]:
        self.chains_read.append(response_id)
        last = self._stored[response_id]
        return [*(await self.chain(last.previous) if last.previous else ()), last]

    async def delete(self, response_id: str) -> bool:
        raise AssertionError(response_id)


def cost_of_a_turn_in_a_chain(turns: int) -> int:
    """Return the calls of the turn after `turns` turns when the server has stored the turns before it."""
    store, recent, planner = MemoryStore(), Recent(), Planner()
    histories = Histories(store, longest=1000, now=lambda: 0)

    def take(turn: int) -> None:
        previous = f"r{turn - 1}" if turn else None
        output = said_in(turn - 1)[2] if turn else question(0)
        body = orjson.dumps({"model": "m", "instructions": "Be brief.", "input": [output, question(turn)]})
        history = run(histories.of(previous)) if previous else ()
        assert history is not None
        request = begin(read_body(decode_json(body)), history, recent).read({})
        planner.plan(request.settings, request.items)
        stored = Stored({"id": f"r{turn}", "previous_response_id": previous}, request.input, said_in(turn)[:2])
        run(store.put(stored))
        histories.extend(stored)

    for turn in range(turns):
        take(turn)
    cost = calls(lambda: take(turns))
    assert store.chains_read == ["r0"]
    return cost


@pytest.mark.parametrize(
    "cost_of_a_turn",
    [
        cost_of_a_chat_turn,
        partial(cost_of_a_chat_turn, body=response_body),
        cost_of_a_whole_input,
        cost_of_a_turn_in_a_chain,
    ],
    ids=["chat", "an input to chat", "a whole input", "a chain"],
)
def test_a_turn_costs_what_is_new_and_not_what_the_conversation_has_grown_to(
    cost_of_a_turn: Callable[[int], int],
):
    short, long = cost_of_a_turn(10), cost_of_a_turn(100)

    assert long < short * 1.1
