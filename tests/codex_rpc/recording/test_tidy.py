from __future__ import annotations

from codex_rpc.recording.session import Line
from codex_rpc.recording.tidy import tidy
from codex_rpc.wire.messages import ErrorResponse, Notification, Request, Response
from tests.codex_rpc.recording.thread_lines import THREAD, TURN


def test_ids_are_numbered_and_times_and_paths_are_removed() -> None:
    lines = [
        Line(100.0, True, Request(40, "thread/start", {"model": "m", "cwd": "/secret/place"})),
        Line(100.5, False, Response(40, {"thread": {"id": THREAD, "createdAt": 1, "cliVersion": "0.1"}, "cwd": "/x"})),
        Line(101.0, True, Request(47, "turn/start", {"threadId": THREAD})),
        Line(101.5, False, Response(47, {"turn": {"id": TURN, "startedAt": 3, "items": [1], "status": "inProgress"}})),
        Line(
            102.0, False, Request(9, "item/tool/call", {"threadId": THREAD, "turnId": TURN, "arguments": {"cwd": "/x"}})
        ),
        Line(102.5, True, ErrorResponse(9, 1, "no")),
        Line(103.0, False, Notification("x", {"turnId": TURN, "itemId": "msg_0815", "item": {"id": "msg_0815"}})),
    ]
    assert tidy(lines) == [
        Line(0.0, True, Request(1, "thread/start", {"model": "m"})),
        Line(0.5, False, Response(1, {"thread": {"id": "thread-1"}})),
        Line(1.0, True, Request(2, "turn/start", {"threadId": "thread-1"})),
        Line(1.5, False, Response(2, {"turn": {"id": "turn-1", "status": "inProgress"}})),
        Line(
            2.0,
            False,
            Request(1, "item/tool/call", {"threadId": "thread-1", "turnId": "turn-1", "arguments": {"cwd": "/x"}}),
        ),
        Line(2.5, True, ErrorResponse(1, 1, "no")),
        Line(3.0, False, Notification("x", {"turnId": "turn-1", "itemId": "item-1", "item": {"id": "item-1"}})),
    ]


def test_tidying_twice_changes_nothing_and_an_empty_session_stays_empty() -> None:
    lines = [Line(5.0, True, Request(3, "turn/start", {"threadId": THREAD, "turnId": "auto-compact-1"}))]
    once = tidy(lines)
    assert once == [Line(0.0, True, Request(1, "turn/start", {"threadId": "thread-1", "turnId": "auto-compact-1"}))]
    assert tidy(once) == once
    assert tidy([]) == []
    assert tidy([Line(0, True, Notification("initialized", None))]) == [
        Line(0, True, Notification("initialized", None))
    ]
