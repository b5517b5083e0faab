from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.conversation.events import Finished, TextDelta, Used
from bridge.errors import ApiError, invalid_request, unavailable
from bridge.openai import sse
from bridge.openai.responses.event_log import EventLog, KeptStream
from bridge.openai.responses.object import ResponseFrame
from codex_rpc.wire.events import TokenUsage

FRAME = ResponseFrame("k", 1, lambda: 2, {"model": "m", "background": True})


def encoded(event: dict[str, Any], number: int) -> bytes:
    return sse.named(event["type"], {"type": event["type"], "sequence_number": number, **event})


def events(count: int) -> list[dict[str, Any]]:
    return [{"type": "response.output_text.delta", "delta": str(number)} for number in range(count)]


def read(data: bytes) -> list[dict[str, Any]]:
    """Return the events of a stream."""
    return [orjson.loads(part.partition(b"data: ")[2]) for part in data.split(b"\n\n") if part]


def test_events_are_numbered_by_their_place_and_read_from_any_of_them() -> None:
    log = EventLog()
    sent = log.add(events(2)) + log.add(events(0)) + log.add(events(3))
    assert [event["sequence_number"] for event in read(sent)] == [0, 1, 2, 3, 4]
    assert (log.first, log.next, log.size) == (0, 5, len(sent))
    assert [log.since(number) for number in range(7)] == [
        b"".join(encoded(event, at) for at, event in enumerate([*events(2), *events(3)]) if at >= number)
        for number in range(7)
    ]


def test_of_a_stream_that_is_too_long_the_newest_events_are_kept() -> None:
    one = len(encoded(events(1)[0], 0))
    log = EventLog(largest=3 * one)
    log.add(events(10))
    assert (log.first, log.next, log.size) == (7, 10, 3 * one)
    assert [event["delta"] for event in read(log.since(8))] == ["8", "9"]
    log.add([{"type": "x", "text": "y" * 4 * one}])
    assert (log.first, log.next, log.size) == (11, 11, 0)


def kinds(log: EventLog) -> list[str]:
    return [event["type"].removeprefix("response.") for event in read(log.since(0))]


def test_a_response_is_queued_then_runs_and_a_repeated_one_continues_the_same_stream() -> None:
    log = EventLog()
    first = KeptStream(FRAME, log, lambda: False)
    assert (kinds(log), first.output.response["status"], first.ended) == (["created", "queued"], "queued", False)
    writer = KeptStream(FRAME, log, lambda: False)
    writer.output.run_in(None)
    writer.start()
    assert (writer.output.response["status"], writer.ended) == ("in_progress", False)
    said = writer.feed([TextDelta("Hi.")])
    assert [event["type"] for event in read(said)] == [
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
    ]
    writer.feed([Used(TokenUsage(1, 0, 1, 0)), Finished("stop")])
    assert kinds(log)[:3] == ["created", "queued", "in_progress"]
    assert kinds(log)[-1] == "completed"
    assert writer.ended
    assert read(log.since(0))[-1]["response"] == writer.output.response


@pytest.mark.parametrize(
    ("error", "stopping", "status"),
    [
        (unavailable("stopped"), True, "incomplete"),
        (unavailable("codex is down"), False, "failed"),
        (invalid_request("bad"), True, "failed"),
    ],
)
def test_a_response_that_the_server_stops_is_incomplete_and_says_why(
    error: ApiError,
    stopping: bool,
    status: str,
) -> None:
    log = EventLog()
    writer = KeptStream(FRAME, log, lambda: stopping)
    writer.feed([TextDelta("Hal")])
    writer.fail(error)
    response = writer.output.response
    assert (response["status"], response["error"]["message"]) == (status, error.message)
    assert response["output"][0]["status"] == "incomplete"
    assert kinds(log)[-1] == status


def test_a_response_that_is_cancelled_while_it_waits_has_no_output() -> None:
    log = EventLog()
    writer = KeptStream(FRAME, log, lambda: False)
    writer.cancel()
    assert (writer.output.response["status"], writer.output.response["output"]) == ("cancelled", [])
    assert kinds(log) == ["created", "queued", "incomplete"]
