"""What an agent does becomes the items of a response: the grammar of several open items, and each kind of end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from bridge.conversation.events import (
    Asked,
    Finished,
    ItemDone,
    MessageBegun,
    StepBegun,
    StepDone,
    TextDelta,
    ToolCall,
    TurnEvent,
    Used,
)
from bridge.errors import upstream_failed
from bridge.openai.responses.approvals import Decision, approval_answers
from bridge.openai.responses.fields import read_body
from bridge.openai.responses.output import ResponseOutput
from bridge.openai.responses.request import begin
from bridge.openai.responses.writers import ResponseStream, ResponseWhole
from codex_rpc.wire.events import TokenUsage
from tests.bridge.conversation.turn_events import ends, message_item, reasoning_items, search_item
from tests.harness.open_responses import check_stream

KEY = "0123456789abcdef" * 2
FRAME = begin(read_body({"model": "codex-agent", "input": "Hi."})).read({}).frame(KEY, lambda: 1768247311)
STRICT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
STRICT_RESPONSE: TypeAdapter[Any] = TypeAdapter(Response)
USED = Used(TokenUsage(9, 0, 3, 0))
LS = {"command": "ls", "cwd": "."}

Event = dict[str, Any]


def begun(step_id: str = "a", arguments: Any = LS) -> StepBegun:
    return StepBegun(step_id, "codex", "shell", arguments)


def done(step_id: str = "a", output: str = "", error: str | None = None, *, is_complete: bool = True) -> StepDone:
    return StepDone(step_id, "codex", "shell", LS, output, error, is_complete)


def said(text: str, phase: str | None) -> list[TurnEvent]:
    return [MessageBegun(phase), TextDelta(text), message_item(text, phase)]


def streamed(events: Sequence[TurnEvent]) -> list[Event]:
    blocks = ResponseStream(FRAME).feed(events).decode().removesuffix("data: [DONE]\n\n").split("\n\n")[:-1]
    return [json.loads(block.split("\n")[1].removeprefix("data: ")) for block in blocks]


def whole(events: Sequence[TurnEvent]) -> Event:
    return json.loads(ResponseWhole(FRAME).feed(events))


def output_of(*events: TurnEvent) -> list[Event]:
    return whole([*events, USED, Finished("stop")])["output"]


def folded(events: Sequence[Event]) -> list[Event]:
    """Read a stream as a client that keeps several items open; return its items in the order of their indices."""
    items: dict[int, Event] = {}
    complete: set[int] = set()
    for event in events:
        name, index = event["type"], event.get("output_index", -1)
        if name == "response.output_item.added":
            assert index == len(items), "indices are given in the order of the beginnings"
            items[index] = event["item"]
        elif name == "response.output_item.done":
            assert index not in complete
            assert event["item"]["id"] == items[index]["id"]
            if event["item"]["type"] == "mcp_call":
                assert event["item"]["arguments"] == items[index]["arguments"]
            items[index] = event["item"]
            complete.add(index)
        elif index >= 0:
            assert index not in complete, f"{name} comes after the end of its item"
            assert event["item_id"] == items[index]["id"]
            if name == "response.mcp_call_arguments.delta":
                items[index]["arguments"] += event["delta"]
            elif name == "response.mcp_call_arguments.done":
                assert items[index]["arguments"] == event["arguments"]
    assert complete == set(items), "an item is still open"
    return [items[index] for index in sorted(items)]


def test_a_command_is_a_call_that_begins_and_ends() -> None:
    events = streamed([begun(), done(output="a\n[exit 3]"), USED, Finished("stop")])

    item_id = f"mcp_{KEY}_0"
    where = {"item_id": item_id, "output_index": 0}
    item = {"id": item_id, "type": "mcp_call", "server_label": "codex", "name": "shell"}
    arguments = '{"command": "ls", "cwd": "."}'
    empty: Event = {"arguments": "", "output": None, "error": None, "approval_request_id": None}
    complete: Event = {
        **item,
        "status": "completed",
        "arguments": arguments,
        "output": "a\n[exit 3]",
        "error": None,
        "approval_request_id": None,
    }
    assert [{name: value for name, value in event.items() if name != "sequence_number"} for event in events[2:-1]] == [
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", **empty}},
        {"type": "response.mcp_call.in_progress", **where},
        {"type": "response.mcp_call_arguments.delta", **where, "delta": arguments},
        {"type": "response.mcp_call_arguments.done", **where, "arguments": arguments},
        {"type": "response.mcp_call.completed", **where},
        {"type": "response.output_item.done", "output_index": 0, "item": complete},
    ]
    assert events[-1]["response"]["output"] == [complete]
    check_stream(events)


def test_a_step_that_failed_has_an_error_object() -> None:
    events = streamed([begun(), done(error="It was declined."), Finished("stop")])

    assert "response.mcp_call.failed" in [event["type"] for event in events]
    (item,) = events[-1]["response"]["output"]
    assert item["status"] == "failed"
    assert item["error"] == {
        "type": "mcp_tool_execution_error",
        "content": [{"type": "text", "text": "It was declined."}],
    }
    assert item["output"] is None


@pytest.mark.parametrize(
    ("ending", "output"),
    [
        ([done(output="tick\n", is_complete=False), Finished("stop")], "tick\n"),
        ([done(is_complete=False), Finished("tool_calls")], None),
        ([Finished("length")], None),
        ([Finished("cancelled")], None),
    ],
)
def test_a_step_that_still_runs_at_the_end_is_incomplete(ending: list[TurnEvent], output: str | None) -> None:
    events = streamed([begun(), USED, *ending])

    (item,) = folded(events)
    assert (item["status"], item["output"], item["error"]) == ("incomplete", output, None)
    assert item["arguments"] == '{"command": "ls", "cwd": "."}'
    assert events[-1]["response"]["output"] == [item]


def test_a_failure_ends_the_steps_that_run() -> None:
    writer = ResponseOutput(FRAME)
    list(writer.feed([begun("a"), begun("b"), *said("Hm", "commentary")[:2]]))
    list(writer.fail(upstream_failed("broken")))

    assert [item["status"] for item in writer.response["output"]] == ["incomplete"] * 3


def test_items_are_in_the_order_in_which_they_began() -> None:
    output = output_of(
        begun("a"),
        *said("While that runs.", "commentary"),
        begun("b"),
        done("b", "two"),
        search_item(),
        done("a", "one"),
        *said("Done.", "final_answer"),
    )

    assert [(item["type"], item.get("output")) for item in output] == [
        ("mcp_call", "one"),
        ("message", None),
        ("mcp_call", "two"),
        ("web_search_call", None),
        ("message", None),
    ]


def test_each_message_is_an_item_whose_phase_is_known_from_its_beginning() -> None:
    events = streamed(
        [*said("One.", "commentary"), *said("Two.", "final_answer"), *said("Three.", None), Finished("stop")]
    )

    added = [event["item"] for event in events if event["type"] == "response.output_item.added"]
    assert [item.get("phase") for item in added] == ["commentary", "final_answer", None]
    output = events[-1]["response"]["output"]
    assert [item["content"][0]["text"] for item in output] == ["One.", "Two.", "Three."]
    assert [item.get("phase") for item in output] == ["commentary", "final_answer", None]


def test_a_message_that_goes_on_while_a_step_begins_stays_one_item() -> None:
    first, second = MessageBegun("commentary"), TextDelta("I ")
    output = output_of(first, second, begun(), TextDelta("look."), message_item("I look.", "commentary"), done())

    assert [item["type"] for item in output] == ["message", "mcp_call"]
    assert output[0]["content"][0]["text"] == "I look."


def test_a_tool_of_an_mcp_server_keeps_its_names_and_any_arguments() -> None:
    step = StepBegun("a", "usermcp", "echo", [1, {"é": None}])
    (item,) = output_of(step, StepDone("a", "usermcp", "echo", step.arguments, "hello"))

    assert (item["server_label"], item["name"]) == ("usermcp", "echo")
    assert item["arguments"] == '[1, {"é": null}]'


def test_long_arguments_arrive_in_small_deltas() -> None:
    events = streamed([begun(arguments={"command": "x" * 100_000}), Finished("cancelled")])

    deltas = [event["delta"] for event in events if event["type"] == "response.mcp_call_arguments.delta"]
    assert len(deltas) > 1
    assert json.loads("".join(deltas)) == {"command": "x" * 100_000}


def test_a_question_is_an_item_whose_id_leads_back_to_it() -> None:
    asked = Asked("turn_1-0", "a", "codex", "shell", {**LS, "reason": "May I?"})
    events = streamed([begun(), asked, done(is_complete=False), USED, Finished("tool_calls")])

    _, item = folded(events[2:-1])
    assert (item["type"], item["server_label"], item["name"]) == ("mcp_approval_request", "codex", "shell")
    assert json.loads(item["arguments"]) == {"command": "ls", "cwd": ".", "reason": "May I?"}
    answer = {"type": "mcp_approval_response", "approval_request_id": item["id"], "approve": True}
    assert approval_answers([answer]) == {"turn_1-0": Decision(approve=True)}
    assert events[-1]["response"]["status"] == "completed"
    assert STRICT_RESPONSE.validate_python(events[-1]["response"]).output[1].type == "mcp_approval_request"


@st.composite
def agent_turns(draw: st.DrawFn) -> list[TurnEvent]:
    """A turn of an agent: messages, reasoning, searches and steps, several of which run at once."""
    events: list[TurnEvent] = []
    running: list[str] = []
    for number in range(draw(st.integers(0, 12))):
        match draw(st.sampled_from(["begin", "end", "say", "think", "search", "call", "ask"])):
            case "begin":
                running.append(f"step-{number}")
                events.append(begun(running[-1], draw(st.sampled_from([LS, None, [1], {"é": "😀"}]))))
            case "end" if running:
                step_id = running.pop(draw(st.integers(0, len(running) - 1)))
                errors, complete = draw(st.sampled_from([None, "no"])), draw(st.booleans())
                events.append(done(step_id, draw(st.text(max_size=5)), errors, is_complete=complete))
            case "say":
                events += said(draw(st.text(min_size=1, max_size=5)), draw(st.sampled_from([None, "commentary"])))
            case "think":
                events += draw(reasoning_items())
            case "search":
                events.append(search_item())
            case "ask":
                events.append(Asked(f"turn-{number}", "", "codex", "shell", LS))
            case "call":
                events.append(ToolCall(f"c{number}", "codex_approval", "{}"))
            case _:
                pass
    return [*events, USED, draw(ends)]


@settings(deadline=None)
@given(agent_turns())
def test_every_stream_of_an_agent_is_the_whole_answer_and_the_strict_client_takes_it(events: list[TurnEvent]) -> None:
    stream = streamed(events)

    assert folded(stream[2:-1]) == stream[-1]["response"]["output"]
    assert stream[-1]["response"] == whole(events)
    for event in stream:
        taken = STRICT.validate_python(event)
        assert json.loads(taken.model_dump_json(by_alias=True, exclude_unset=True)) == event
    assert STRICT_RESPONSE.validate_python(stream[-1]["response"]).status != "in_progress"


def test_what_chat_mode_says_has_no_phase_before_its_end() -> None:
    events = streamed([TextDelta("Hi"), ItemDone(message_item("Hi", "final_answer").item), Finished("stop")])

    added, finished = events[2], events[-2]
    assert "phase" not in added["item"]
    assert finished["item"]["phase"] == "final_answer"
