"""One end of the connection: which answers belong to an open call."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_rpc.errors import ProtocolError, UnsendableError
from codex_rpc.wire.messages import ErrorResponse, Notification, Request, Response, encode
from codex_rpc.wire.peer import Peer


def test_each_call_gets_an_id_of_its_own_and_its_line():
    peer = Peer()

    assert [peer.call("model/list", {}), peer.call("turn/start", {"input": []})] == [
        (1, b'{"id":1,"method":"model/list","params":{}}\n'),
        (2, b'{"id":2,"method":"turn/start","params":{"input":[]}}\n'),
    ]


def test_answers_are_told_apart_by_id_in_any_order():
    peer = Peer()
    first, _ = peer.call("model/list", {})
    second, _ = peer.call("model/list", {})
    answers = [ErrorResponse(second, -32600, "no", {"why": 1}), Response(first, {"data": []})]

    assert [peer.receive(encode(answer)) for answer in answers] == answers


@pytest.mark.parametrize("answer", [Response(1, "again"), ErrorResponse(1, 1, "again")])
def test_a_second_answer_to_a_call_is_skipped(answer: Response | ErrorResponse):
    peer = Peer()
    peer.call("model/list", {})
    peer.receive(encode(Response(1, None)))

    assert peer.receive(encode(answer)) is None


@pytest.mark.parametrize("request_id", [0, 2, -1, "1", ""])
def test_an_answer_to_a_call_never_made_is_skipped_and_closes_no_other(request_id: int | str):
    peer = Peer()
    peer.call("model/list", {})

    assert peer.receive(encode(Response(request_id, None))) is None
    assert peer.receive(encode(Response(1, "ours"))) == Response(1, "ours")


def test_the_answer_to_a_forgotten_call_is_skipped():
    peer = Peer()
    forgotten, _ = peer.call("model/list", {})
    kept, _ = peer.call("model/list", {})
    peer.forget(forgotten)
    peer.forget(forgotten)

    assert peer.receive(encode(Response(forgotten, None))) is None
    assert peer.receive(encode(Response(kept, None))) == Response(kept, None)


def test_an_unsendable_call_is_not_open():
    peer = Peer()

    with pytest.raises(UnsendableError):
        peer.call("turn/start", {"text": "\ud800"})

    assert peer.receive(encode(Response(1, None))) is None
    assert peer.call("turn/start", {}) == (1, b'{"id":1,"method":"turn/start","params":{}}\n')


def test_a_request_of_codex_with_one_of_our_ids_is_not_an_answer():
    peer = Peer()
    ours, _ = peer.call("model/list", {})
    theirs = Request(ours, "item/tool/call", {"tool": "f"})

    assert peer.receive(encode(theirs)) == theirs
    assert peer.receive(encode(Response(ours, None))) == Response(ours, None)


def test_a_notification_passes_through():
    assert Peer().receive(b'{"method":"error","params":{"willRetry":true}}') == Notification(
        "error", {"willRetry": True}
    )


def test_a_line_that_is_not_a_message_closes_no_call():
    peer = Peer()
    request_id, _ = peer.call("model/list", {})

    with pytest.raises(ProtocolError):
        peer.receive(b'{"id":1,"result"')

    assert peer.receive(encode(Response(request_id, None))) == Response(request_id, None)


@pytest.mark.parametrize("request_id", [0, "z"])
def test_a_request_of_codex_is_answered_and_refused_under_its_id(request_id: int | str):
    peer, request = Peer(), Request(request_id, "item/tool/call", {})

    assert json.loads(peer.answer(request, {"success": True})) == {"id": request_id, "result": {"success": True}}
    assert json.loads(peer.refuse(request, "not here")) == {
        "id": request_id,
        "error": {"code": -32601, "message": "not here", "data": None},
    }


def test_a_notification_is_written_without_an_id():
    assert Peer().notify("initialized") == b'{"method":"initialized"}\n'
    assert Peer().notify("said", {"a": 1}) == b'{"method":"said","params":{"a":1}}\n'


@given(st.lists(st.tuples(st.sampled_from(["call", "answer", "forget"]), st.integers(1, 6)), max_size=30))
@settings(deadline=None)
def test_an_answer_is_passed_on_exactly_while_its_call_is_open(steps: list[tuple[str, int]]):
    peer = Peer()
    opened = 0
    waiting: set[int] = set()
    for verb, request_id in steps:
        match verb:
            case "call":
                opened += 1
                waiting.add(opened)
                assert peer.call("m", None)[0] == opened
            case "answer":
                answer = Response(request_id, None)
                assert peer.receive(encode(answer)) == (answer if request_id in waiting else None)
                waiting.discard(request_id)
            case _:
                peer.forget(request_id)
                waiting.discard(request_id)
