"""What a delta and a turn cost, in function calls: the same on every machine, unlike times."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

import orjson

from bridge.conversations import Trails
from bridge.json_body import decode_json
from bridge.model_names import ModelChoice
from bridge.openai.chat_answer import ChatAnswer
from bridge.openai.chat_request import parse
from bridge.openai.chat_stream import ChatStream
from bridge.openai.response_input import Recent
from bridge.tools import Toolbox
from bridge.translate import Translator
from codex_rpc.client import Client
from codex_rpc.protocol import Event

T = TypeVar("T")

DELTAS = 1000


def calls(work: Callable[[], object]) -> int:
    """Return how many functions are called, those in C included."""
    count = 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        del frame, argument
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def lines(count: int) -> bytes:
    params = {"threadId": "t", "turnId": "u", "itemId": "i", "delta": "word "}
    wire = {"method": "item/agentMessage/delta", "params": params, "emittedAtMs": 1795635700455}
    return (orjson.dumps(wire) + b"\n") * count


class Recorded:
    """Plays what codex wrote, each piece in one read, without ever waiting."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = [*pieces, b""]

    async def receive(self) -> bytes:
        return self._pieces.pop(0)

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


def test_a_delta_in_a_burst_costs_twenty_calls_and_its_text_is_written_in_one_chunk():
    few, _ = read(lines(10))
    many, events = read(lines(10 + DELTAS))
    stream = ChatStream(ChatAnswer("id", 1, "m"), usage_chunk=False)

    assert (many - few) / DELTAS <= 20
    assert calls(lambda: stream.feed(Translator(Toolbox()).feed(events))) < 60


def test_a_delta_that_comes_alone_costs_two_dozen_calls_to_read_and_as_many_to_write():
    few, _ = read(*[lines(1)] * 10)
    many, events = read(*[lines(1)] * (10 + DELTAS))
    stream, translator = ChatStream(ChatAnswer("id", 1, "m"), usage_chunk=False), Translator(Toolbox())
    stream.feed(translator.feed(events))

    assert (many - few) / DELTAS <= 24
    assert calls(lambda: stream.feed(translator.feed(events))) <= 24


def body(turns: int) -> bytes:
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


def cost_of_a_turn(turns: int) -> int:
    """Return the calls that the turn after so many costs, from the body to the hashes of its prompt."""
    recent, known = Recent(), Trails()

    def take(request: bytes) -> None:
        chat = parse(decode_json(request), recent=recent)
        known.of(chat.settings.prompt(chat.items, ModelChoice("m"), None))

    take(body(turns))
    return calls(lambda: take(body(turns + 1)))


def test_a_turn_costs_what_is_new_and_not_what_the_conversation_has_grown_to():
    short, long = cost_of_a_turn(10), cost_of_a_turn(100)

    assert long < short * 1.1
