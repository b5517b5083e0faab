"""What a delta and a turn cost, in function calls: the same on every machine, unlike times."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import anyio
import orjson
import pytest
from starlette.types import Message

from bridge.codex.models import ModelChoice
from bridge.conversation.plan import CachedThread, Continue, Conversations, HistoryHashes
from bridge.conversation.prompt import Item
from bridge.conversation.tools import Toolbox
from bridge.conversation.translate import Translator
from bridge.json_values import decode_json
from bridge.openai.chat.answer import ChatAnswer
from bridge.openai.chat.request import parse
from bridge.openai.chat.stream import ChatStream
from bridge.openai.model_settings import ModelSettings
from bridge.openai.responses.fields import read_body
from bridge.openai.responses.input import Recent
from bridge.openai.responses.request import begin
from bridge.store.histories import Histories
from bridge.store.response import Stored
from codex_rpc.client.client import Client
from codex_rpc.client.outgoing import Outgoing
from codex_rpc.process.child import Sink
from codex_rpc.wire.protocol import Event
from tests.bridge.http.exchange import Exchange, http_scope
from tests.harness.proxy import MODEL, proxy, user
from tests.harness.upstream import Upstream

T = TypeVar("T")

DELTAS = 1000


class Counter:
    """Counts the functions that are called in its block, those in C included, beginning with 0 each time.

    The garbage of other tests is collected before: what finalises it is no part of the block.
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
    """Return how many functions are called."""
    with (counter := Counter()):
        work()
    return counter.count


def lines(count: int) -> bytes:
    params = {"threadId": "t", "turnId": "u", "itemId": "i", "delta": "word "}
    wire = {"method": "item/agentMessage/delta", "params": params, "emittedAtMs": 1795635700455}
    return (orjson.dumps(wire) + b"\n") * count


class Recorded:
    """Plays what codex wrote, each piece in one read, without ever waiting."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    async def read(self, sink: Sink) -> None:
        for piece in self._pieces:
            sink(piece)

    async def send(self, data: bytes) -> None:
        raise AssertionError(data)

    def last_words(self) -> str:
        return ""


def read(*pieces: bytes) -> tuple[int, list[Event]]:
    """Return the calls that reading the pieces costs, and the events that they are."""
    client = Client(Recorded(*pieces))
    inbox = client.subscribe("t")
    cost = calls(lambda: run(client.read_to_the_end()))
    return cost, run(inbox.take(joined=True))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of work that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def test_a_delta_in_a_burst_costs_a_dozen_calls_and_its_text_is_written_in_one_chunk():
    few, _ = read(lines(10))
    many, events = read(lines(10 + DELTAS))
    stream = ChatStream(ChatAnswer("id", 1, "m"), usage_chunk=False)

    assert (many - few) / DELTAS <= 12
    assert calls(lambda: stream.feed(Translator(Toolbox()).feed(events))) < 60


def test_a_delta_that_comes_alone_costs_seventeen_calls_to_read_and_two_dozen_to_write():
    few, _ = read(*[lines(1)] * 10)
    many, events = read(*[lines(1)] * (10 + DELTAS))
    stream, translator = ChatStream(ChatAnswer("id", 1, "m"), usage_chunk=False), Translator(Toolbox())
    stream.feed(translator.feed(events))

    assert (many - few) / DELTAS <= 17
    assert calls(lambda: stream.feed(translator.feed(events))) <= 24


# ── A turn ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Live:
    """Hands on what the test says, at once."""

    say: Sink

    async def read(self, sink: Sink) -> None:
        self.say = sink
        await anyio.sleep_forever()

    async def send(self, data: bytes) -> None:
        raise AssertionError(data)

    def last_words(self) -> str:
        return ""


async def test_a_delta_is_with_its_answer_one_turn_of_the_event_loop_after_codexs_pipe_was_read():
    stream, taken = Live(), list[Event]()
    client = Client(stream)
    inbox = client.subscribe("t")

    async def answer() -> None:
        while True:
            taken.extend(await inbox.take(joined=True))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.read_to_the_end)
        tasks.start_soon(answer)
        await anyio.wait_all_tasks_blocked()
        for count in range(1, 4):
            stream.say(lines(1))
            await asyncio.sleep(0)
            assert len(taken) == count
        tasks.cancel_scope.cancel()


async def test_a_turn_of_a_living_conversation_takes_a_thousand_calls_until_codex_is_told_and_few_behind_its_end(
    upstream: Upstream, home: Path, monkeypatch: pytest.MonkeyPatch
):
    told: list[int] = []
    last_byte: list[int] = []
    put = Outgoing.put

    def put_and_note(outgoing: Outgoing, line: bytes) -> None:
        if b"turn/start" in line:
            told.append(counter.count)
        put(outgoing, line)

    monkeypatch.setattr(Outgoing, "put", put_and_note)
    messages, counter = [user("one?")], Counter()
    async with proxy(upstream, home) as bridge:
        for question in ("two?", "three?", "four?"):
            await upstream.wait_until_idle()
            await anyio.wait_all_tasks_blocked()  # What the upstream still does of the last answer is not ours.
            with counter:
                exchange = Exchange(orjson.dumps({"model": MODEL, "stream": True, "messages": messages}))
                scope = http_scope("/v1/chat/completions", "POST")

                async def send(message: Message, exchange: Exchange = exchange) -> None:
                    await exchange.send(message)
                    last_byte.append(counter.count)

                await bridge.service.app(scope, exchange.receive, send)
            assert exchange.headers["x-codex-proxy-thread"].startswith(("new", "continued"))
            messages += [{"role": "assistant", "content": "ok"}, user(question)]

    assert told[-1] <= 1000
    # Nothing is cancelled there: one cancellation takes more than a hundred.
    assert counter.count - last_byte[-1] <= 300


def chat_body(turns: int) -> bytes:
    messages: list[dict[str, Any]] = []
    for number in range(turns):
        call = {"id": f"c{number}", "type": "function", "function": {"name": "look", "arguments": '{"at": [1, 2]}'}}
        messages += [
            {"role": "user", "content": f"question {number}"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{number}", "content": "seen"},
            {"role": "assistant", "content": f"answer {number}"},
        ]
    return orjson.dumps({"model": "m", "messages": [*messages, {"role": "user", "content": f"question {turns}"}]})


def said_in(turn: int) -> list[dict[str, Any]]:
    """What the model says in a turn that calls a tool, with the output of this."""
    return [
        {"type": "reasoning", "id": f"rs_{turn}", "summary": [], "encrypted_content": f"secret {turn}"},
        {"type": "function_call", "call_id": f"c{turn}", "name": "look", "arguments": '{"at": [1, 2]}'},
        {"type": "function_call_output", "call_id": f"c{turn}", "output": "seen"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": f"answer {turn}"}]},
    ]


def question(turn: int) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": f"question {turn}"}


def response_body(turns: int) -> bytes:
    values = [value for turn in range(turns) for value in (question(turn), *said_in(turn))]
    return orjson.dumps({"model": "m", "instructions": "Be brief.", "input": [*values, question(turns)]})


class Deciding:
    """What becomes of prompts on threads that live."""

    def __init__(self) -> None:
        self._history_hashes = HistoryHashes()
        self._conversations = Conversations[str]()

    def decide(self, settings: ModelSettings, items: tuple[Item, ...]) -> None:
        """Go on with the thread that has everything but the last item, which is made to live before."""
        prompt = settings.prompt(items, ModelChoice("m"), None)
        history_hash = self._history_hashes.of(prompt)
        self._conversations.put(
            CachedThread(
                "t", history_hash.hashes[-2], (), prompt.answer_format, reasoning_digests=history_hash.reasoning_digests
            )
        )
        assert isinstance(self._conversations.plan(prompt, history_hash), Continue)


def cost_of_a_chat_turn(turns: int, body: Callable[[int], bytes] = chat_body) -> int:
    """Return the calls that the turn after so many costs, from the body to the plan."""
    recent, deciding = Recent(), Deciding()

    def take(request: bytes) -> None:
        chat = parse(decode_json(request), recent=recent)
        deciding.decide(chat.settings, chat.items)

    take(body(turns))
    following = body(turns + 1)
    return calls(lambda: take(following))


def cost_of_a_whole_input(turns: int) -> int:
    """Return the calls that the turn after so many costs when the client sends the items of all of them."""
    recent, deciding = Recent(), Deciding()

    def take(request: bytes) -> None:
        begun = begin(read_body(decode_json(request)), (), recent)
        assert begun.input.references() == ()
        asked = begun.read({})
        deciding.decide(asked.settings, asked.items)

    take(response_body(turns))
    following = response_body(turns + 1)
    return calls(lambda: take(following))


class Kept:
    """Stored responses, without ever waiting; it notes which chains are read."""

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
    """Return the calls that the turn after so many costs when the server has those before it."""
    store, recent, deciding = Kept(), Recent(), Deciding()
    histories = Histories(store, longest=1000, now=lambda: 0)

    def take(turn: int) -> None:
        previous = f"r{turn - 1}" if turn else None
        output = said_in(turn - 1)[2] if turn else question(0)
        body = orjson.dumps({"model": "m", "instructions": "Be brief.", "input": [output, question(turn)]})
        history = run(histories.of(previous)) if previous else ()
        assert history is not None
        asked = begin(read_body(decode_json(body)), history, recent).read({})
        deciding.decide(asked.settings, asked.items)
        stored = Stored({"id": f"r{turn}", "previous_response_id": previous}, asked.input, said_in(turn)[:2])
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
