from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from codex_rpc.recording.player import Player, PlayPosition, Session
from codex_rpc.recording.steps import ModelView, steps
from codex_rpc.wire.messages import Message
from tests.codex_rpc.recording.thread_lines import (
    TURN,
    asks,
    called,
    completed,
    delta,
    gives,
    inject,
    raw,
    refuses,
    said,
    session,
    start,
    started,
    turn,
    user,
)

FACTS = {"account/read": {"account": None}}
LOOP = (
    *(start(), started(), inject(2, user("go")), turn(3)),
    *(delta("hm"), called("a"), called("b"), asks(5, "b")),
    *(gives(5, "2"), asks(6, "a")),
    *(gives(6, "1"), delta("done"), said("done"), completed()),
)


def recorded(*messages: tuple[bool, Message]) -> Session:
    lines = tuple(session(messages))
    return Session("case", lines, tuple(steps(lines)))


def by_items(*sessions: Session) -> Callable[[ModelView], PlayPosition | None]:
    """Choose the step whose view has as many items as the current one."""

    def choose(view: ModelView) -> PlayPosition | None:
        positions = (PlayPosition(one, step) for one in sessions for step in one.steps)
        return next((playing for playing in positions if len(playing.step.view.items) == len(view.items)), None)

    return choose


class Client:
    """A client driven by the test: writes lines, reads the due ones, has its own clock."""

    def __init__(self, player: Player) -> None:
        self.player = player
        self.now = 0.0
        self._last = 0

    def call(self, method: str, **params: Any) -> list[dict[str, Any]]:
        self._last += 1
        return self.write({"id": self._last, "method": method, "params": params})

    def write(self, message: Any) -> list[dict[str, Any]]:
        self.player.feed(orjson.dumps(message), self.now)
        return self.read()

    def read(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.player.take(self.now)]

    def begin(self, *items: dict[str, Any]) -> list[dict[str, Any]]:
        """Start a thread with these items and a turn on it; return the lines after the answer to `turn/start`."""
        [answer] = self.call("thread/start", model="m")
        self.thread = answer["result"]["thread"]["id"]
        self.call("thread/inject_items", threadId=self.thread, items=list(items))
        response, *events = self.call("turn/start", threadId=self.thread)
        self.turn = response.get("result", {}).get("turn", {}).get("id")
        self.refused = response.get("error")
        return events

    def give(self, question: dict[str, Any], text: str = "x") -> list[dict[str, Any]]:
        content = [{"type": "inputText", "text": text}]
        return self.write({"id": question["id"], "result": {"contentItems": content, "success": True}})


def at_once(*sessions: Session) -> Client:
    return Client(Player(by_items(*sessions), FACTS, float("inf")))


def brief(events: list[dict[str, Any]]) -> list[str]:
    """The events, shortened."""
    return [event["params"].get("delta") or event["params"].get("callId") or event["method"] for event in events]


def test_calls_about_the_process_are_answered_from_the_facts() -> None:
    client = at_once()
    assert client.call("account/read") == [{"id": 1, "result": {"account": None}}]
    [refused] = client.call("thread/fork", threadId="?")
    assert refused["error"]["message"] == "the replay has no such thread"


def test_a_line_is_played_only_after_our_line_that_it_followed() -> None:
    client = at_once(recorded(*LOOP))
    first = client.begin(user("go"))
    assert brief(first) == ["hm", "rawResponseItem/completed", "rawResponseItem/completed", "b"]
    second = client.give(first[-1])
    assert brief(second) == ["a"]
    assert brief(client.give(second[-1])) == ["done", "rawResponseItem/completed", "turn/completed"]


def test_ids_are_those_of_the_living_thread() -> None:
    client = at_once(recorded(*LOOP))
    first = client.begin(user("go"))
    assert {event["params"]["threadId"] for event in first} == {client.thread}
    assert {event["params"]["turnId"] for event in first} == {client.turn}
    assert client.turn != TURN
    done = client.give(client.give(first[-1])[-1])
    assert done[-1]["params"]["turn"]["id"] == client.turn


def test_a_step_in_the_middle_of_a_session_can_be_the_first_of_a_thread() -> None:
    client = at_once(recorded(*LOOP))
    history = [user("go"), user("call"), user("call"), user("output"), user("output")]
    assert brief(client.begin(*history)) == ["done", "rawResponseItem/completed", "turn/completed"]


def test_many_threads_play_one_session_at_once() -> None:
    client = at_once(recorded(*LOOP))
    questions = [client.begin(user("go"))[-1] for _ in range(3)]
    assert len({question["id"] for question in questions}) == 3
    for question in questions:
        [following] = client.give(question)
        assert following["params"]["threadId"] == question["params"]["threadId"]


def test_a_turn_that_was_not_recorded_is_refused() -> None:
    client = at_once(recorded(*LOOP))
    assert client.begin() == []
    assert client.refused == {"code": -32600, "message": "there is no recording of this turn", "data": None}


def test_a_step_that_is_not_found_is_the_next_one_of_the_session() -> None:
    one = recorded(*LOOP)
    client = Client(
        Player(lambda view: PlayPosition(one, one.steps[0]) if len(view.items) == 1 else None, FACTS, float("inf"))
    )
    second = client.give(client.begin(user("go"))[-1])
    assert brief(client.give(second[-1]))[-1] == "turn/completed"


def test_outputs_at_the_end_of_a_recording_end_the_turn_with_its_name() -> None:
    client = at_once(recorded(*LOOP[:8]))
    question = client.begin(user("go"))[-1]
    client.write({"id": 99, "result": {}})  # answers no request
    assert client.give(question) == []
    only = at_once(recorded(*LOOP[:6], asks(5, "a")))
    [ended] = only.give(only.begin(user("go"))[-1])
    assert ended["params"]["turn"]["status"] == "failed"
    assert ended["params"]["turn"]["error"]["message"] == (
        "There is no recording of what follows these outputs; case ends here."
    )


def test_a_recording_that_ends_in_the_middle_ends_the_turn() -> None:
    events = at_once(recorded(*LOOP[:5])).begin(user("go"))
    assert brief(events) == ["hm", "turn/completed"]
    assert events[-1]["params"]["turn"]["error"] == {"message": "The recording ends here."}


def test_an_answer_that_codex_waited_for_is_awaited_even_if_it_is_a_refusal() -> None:
    approval = asks(7, "approval")
    client = at_once(recorded(*LOOP[:4], approval, refuses(7, "no"), delta("well"), completed()))
    [question] = client.begin(user("go"))
    refusal = {"id": question["id"], "error": {"code": -1, "message": "no"}}
    assert brief(client.write(refusal)) == ["well", "turn/completed"]


def test_an_interrupt_ends_the_turn_and_drops_its_remaining_lines() -> None:
    client = Client(Player(by_items(recorded(*LOOP[:4], delta("one"), delta("two"), completed())), FACTS))
    client.begin(user("go"))
    client.now = 1.0
    assert brief(client.read()) == ["one"]
    answer, ended = client.call("turn/interrupt", threadId=client.thread, turnId=client.turn)
    assert answer["result"] == {}
    assert ended["params"]["turn"]["status"] == "interrupted"
    client.now = 9.0
    assert client.read() == []
    [refused] = client.call("turn/interrupt", threadId=client.thread, turnId=client.turn)
    assert refused["error"]["message"] == "no active turn to interrupt"


def test_what_the_end_of_an_agents_answer_asks_is_answered() -> None:
    client = Client(Player(by_items(recorded(*LOOP[:4], delta("one"), completed())), FACTS))
    [opened] = client.call("thread/start", permissions="reading")
    assert opened["result"]["activePermissionProfile"] == {"id": "reading"}
    thread = opened["result"]["thread"]["id"]
    assert client.call("thread/turns/list", threadId=thread)[0]["result"] == {"data": []}
    [started] = client.call("turn/start", threadId=thread, input=[{"type": "text", "text": "go"}])
    for now, status in ((0.0, "active"), (99.0, "idle")):
        client.now = now
        client.read()
        assert client.call("thread/loaded/list")[-1]["result"] == {"data": [thread]}
        assert client.call("thread/read", threadId=thread)[-1]["result"]["thread"]["status"] == {"type": status}
        turns = client.call("thread/turns/list", threadId=thread)[-1]["result"]
        assert turns == {"data": [{"id": started["result"]["turn"]["id"]}]}
    assert client.call("thread/backgroundTerminals/clean", threadId=thread)[-1]["result"] == {}
    client.call("thread/unsubscribe", threadId=thread)
    assert client.call("thread/loaded/list")[-1]["result"] == {"data": []}


def test_nothing_is_played_after_a_thread_is_unsubscribed() -> None:
    client = Client(Player(by_items(recorded(*LOOP)), FACTS))
    client.begin(user("go"))
    [answer] = client.call("thread/unsubscribe", threadId=client.thread)
    assert answer["result"] == {"status": "unsubscribed"}
    client.now = 99.0
    assert client.read() == []
    [refused] = client.call("turn/start", threadId=client.thread)
    assert refused["error"]["message"] == "the replay has no such thread"


def test_pauses_are_the_recorded_ones_divided_by_the_pace() -> None:
    client = Client(Player(by_items(recorded(*LOOP[:4], delta("one"), delta("two"), completed())), FACTS, 4))
    assert client.begin(user("go")) == []
    seen: list[tuple[float, list[str]]] = []
    while client.player.due() < float("inf"):
        client.now = client.player.due()
        seen.append((client.now, brief(client.read())))
    assert seen == [(0.25, ["one"]), (0.5, ["two"]), (0.75, ["turn/completed"])]


def test_echoes_of_injected_items_are_not_played() -> None:
    echo = raw("auto-compact-1", **user("go"))
    assert brief(at_once(recorded(*LOOP[:4], echo, completed())).begin(user("go"))) == ["turn/completed"]


def test_notifications_and_lines_that_are_not_messages_get_no_answer() -> None:
    client = at_once(recorded(*LOOP))
    client.player.feed(b"{", 0)
    assert client.write({"method": "initialized"}) == []
    client.begin(user("go"))
    [refused] = client.call("thread/fork", threadId=client.thread)
    assert refused["error"]["message"] == "the replay does not know thread/fork"
