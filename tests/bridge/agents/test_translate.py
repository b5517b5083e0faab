from __future__ import annotations

from collections.abc import Sequence

import pytest

from bridge.agents.translate import AgentTranslator
from bridge.conversation.events import (
    Failed,
    Finished,
    ItemDone,
    MessageBegun,
    ReasoningDelta,
    ReasoningPart,
    StepBegun,
    StepDone,
    TextDelta,
    TurnEvent,
    Used,
)
from codex_rpc.wire.events import Event, TokenUsage
from tests.bridge.agents.wire import (
    FOLDER,
    PATCH,
    command,
    completed,
    delta,
    ended,
    event,
    failed,
    mcp_call,
    message,
    started,
    used,
)

USAGE = TokenUsage(812, 768, 40, 16)
SHELL = {"command": "cd sub && cat a.txt | head -3; echo 'it''s'; exit 3", "cwd": "."}


def translate(*events: Event) -> list[TurnEvent]:
    """Return the translation of the events, without the completed messages; it must not depend on how they arrive."""
    whole = AgentTranslator(FOLDER).feed(events)
    single = AgentTranslator(FOLDER)
    assert [str(one) for each in events for one in single.feed([each])][: len(whole)] == [str(one) for one in whole]
    return [one for one in whole if not (isinstance(one, ItemDone) and one.item["type"] == "message")]


def said(text: str, phase: str | None) -> ItemDone:
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return ItemDone({**item, "phase": phase} if phase else item)


def test_a_turn_is_translated_in_the_order_in_which_codex_works():
    translator = AgentTranslator(FOLDER)
    events = [
        started({"type": "reasoning", "id": "item_2", "summary": [], "content": []}),
        event("item/reasoning/summaryPartAdded", itemId="item_2", summaryIndex=0),
        event("item/reasoning/summaryTextDelta", itemId="item_2", delta="**Thinking**", summaryIndex=0),
        completed({"type": "reasoning", "id": "item_2", "summary": ["**Thinking**"], "content": []}),
        started(message("", "commentary", "item_3")),
        delta("I look ", "item_3"),
        delta("first.", "item_3"),
        completed(message("I look first.", "commentary", "item_3")),
        started(command()),
        event("item/commandExecution/outputDelta", itemId="call_1", delta="2\n"),
        completed(command("failed", aggregatedOutput="1\n2\n", exitCode=3)),
        used(),
        started(message("", "final_answer", "item_15")),
        delta("All done.", "item_15"),
        completed(message("All done.", "final_answer", "item_15")),
        used(2),
        ended(),
    ]

    summary = [{"type": "summary_text", "text": "**Thinking**"}]
    assert translator.feed(events) == [
        ReasoningPart("item_2"),
        ReasoningDelta("**Thinking**", "item_2"),
        ItemDone({"type": "reasoning", "id": "item_2", "summary": summary}),
        MessageBegun("commentary"),
        TextDelta("I look "),
        TextDelta("first."),
        said("I look first.", "commentary"),
        StepBegun("call_1", "codex", "shell", SHELL),
        StepDone("call_1", "codex", "shell", SHELL, "1\n2\n[exit 3]", exit_code=3),
        Used(USAGE),
        MessageBegun("final_answer"),
        TextDelta("All done."),
        said("All done.", "final_answer"),
        Used(USAGE),
        Finished("stop"),
    ]


def test_steps_that_run_at_once_keep_their_ids():
    events = translate(
        started(command(id="call_2")),
        started(command(id="call_1")),
        completed(command("completed", id="call_1", aggregatedOutput="one", exitCode=0)),
        completed(command("completed", id="call_2", aggregatedOutput="two", exitCode=0)),
    )

    assert [(type(one), one.step_id) for one in events if isinstance(one, StepBegun | StepDone)] == [
        (StepBegun, "call_2"),
        (StepBegun, "call_1"),
        (StepDone, "call_1"),
        (StepDone, "call_2"),
    ]


def test_a_step_that_is_reported_only_at_its_end_is_begun_and_ended():
    assert translate(completed(mcp_call())) == [
        StepBegun("call_1", "usermcp", "echo", {"text": "hello"}),
        StepDone("call_1", "usermcp", "echo", {"text": "hello"}, "ECHO hello"),
    ]


def test_each_version_of_the_plan_is_a_step_that_is_over_at_once():
    def plan(status: str) -> Event:
        return event("turn/plan/updated", explanation="why", plan=[{"step": "Look", "status": status}])

    events = translate(plan("pending"), plan("inProgress"), plan("completed"))

    done = [one for one in events if isinstance(one, StepDone)]
    assert [one.step_id for one in done] == ["plan-1", "plan-2", "plan-3"]
    assert [one.output for one in done] == ["[ ] Look", "[~] Look", "[x] Look"]
    assert done[0].arguments == {"explanation": "why", "plan": [{"step": "Look", "status": "pending"}]}
    assert len(events) == 6


def test_a_patch_is_one_step():
    wire = {"type": "fileChange", "id": "call_3", "changes": PATCH, "status": "inProgress"}
    events = translate(started(wire), completed({**wire, "status": "completed"}))

    assert [type(one) for one in events] == [StepBegun, StepDone]
    assert isinstance(events[0], StepBegun)
    assert [change["path"] for change in events[0].arguments["changes"]] == ["hello.txt", "new.py"]


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (
            {"type": "search", "query": "q", "queries": ["q", "r"]},
            {"type": "search", "query": "q", "queries": ["q", "r"]},
        ),
        (
            {"type": "search", "query": None, "queries": None},
            {"type": "search", "query": "asked", "queries": ["asked"]},
        ),
        ({"type": "openPage", "url": "https://a"}, {"type": "open_page", "url": "https://a"}),
        (
            {"type": "findInPage", "url": "https://a", "pattern": "x"},
            {"type": "find_in_page", "url": "https://a", "pattern": "x"},
        ),
        ({"type": "other"}, {"type": "search", "query": "asked", "queries": ["asked"]}),
        (None, {"type": "search", "query": "asked", "queries": ["asked"]}),
    ],
)
def test_a_web_search_is_an_item_as_the_upstream_has_it(action: object, expected: object):
    events = translate(completed({"type": "webSearch", "id": "ws_5", "query": "asked", "action": action}))

    assert events == [ItemDone({"type": "web_search_call", "status": "completed", "action": expected})]


def test_what_still_runs_at_the_end_is_incomplete_and_has_its_output_so_far():
    events = translate(
        started(command()), event("item/commandExecution/outputDelta", itemId="call_1", delta="tick\n"), ended()
    )

    assert events[1:] == [StepDone("call_1", "codex", "shell", SHELL, "tick\n", is_complete=False), Finished("stop")]


def test_an_answer_that_ends_otherwise_can_close_what_runs_once():
    translator = AgentTranslator(FOLDER)
    translator.feed([started(command())])

    assert translator.close() == [StepDone("call_1", "codex", "shell", SHELL, is_complete=False)]
    assert translator.close() == []


def test_output_of_a_command_that_is_not_known_is_skipped():
    assert translate(event("item/commandExecution/outputDelta", itemId="call_9", delta="x")) == []


@pytest.mark.parametrize(
    ("phase", "shown"),
    [("partial_answer", "commentary"), ("final_answer", "final_answer"), (None, None), ("new", None)],
)
def test_a_message_has_a_phase_that_clients_know(phase: str | None, shown: str | None):
    translator = AgentTranslator(FOLDER)

    assert translator.feed([started(message("", phase)), delta("Hi"), completed(message("Hi", phase))]) == [
        MessageBegun(shown),
        TextDelta("Hi"),
        said("Hi", shown),
    ]


def test_a_message_without_deltas_is_passed_on_whole():
    assert translate(completed(message("Hello"))) == [MessageBegun("final_answer"), TextDelta("Hello")]


def test_the_end_of_a_message_that_came_without_a_delta_is_passed_on():
    events = translate(started(message("")), delta("Hel"), completed(message("Hello")))

    assert events == [MessageBegun("final_answer"), TextDelta("Hel"), TextDelta("lo")]


def test_an_empty_message_is_not_passed_on():
    assert translate(started(message("")), completed(message("")), ended()) == [Finished("stop")]


def test_text_that_a_retry_repeats_is_passed_on_once():
    events = translate(
        started(message("", item_id="a")),
        delta("Hello", "a"),
        failed("Reconnecting... 1/5", will_retry=True),
        started(message("", item_id="b")),
        delta("Hel", "b"),
        delta("lo world", "b"),
        completed(message("Hello world", item_id="b")),
    )

    assert events == [MessageBegun("final_answer"), TextDelta("Hello"), TextDelta(" world")]


def test_a_message_that_a_retry_repeats_whole_is_passed_on_once():
    events = translate(
        completed(message("One", item_id="a")),
        failed("Reconnecting... 1/5", will_retry=True),
        started(message("", item_id="b")),
        delta("One", "b"),
        completed(message("One", item_id="b")),
        ended(),
    )

    assert events == [MessageBegun("final_answer"), TextDelta("One"), Finished("stop")]


def test_the_same_message_in_two_upstream_responses_is_passed_on_twice():
    events = translate(completed(message("One", item_id="a")), used(), completed(message("One", item_id="b")), used(2))

    assert [one for one in events if isinstance(one, TextDelta)] == [TextDelta("One"), TextDelta("One")]


def test_a_message_whose_text_a_retry_changes_begins_again_and_what_runs_goes_on():
    translator = AgentTranslator(FOLDER)
    events = translator.feed(
        [
            started(command()),
            started(message("", "commentary", "a")),
            delta("Hello", "a"),
            failed("Reconnecting... 1/5", will_retry=True),
            started(message("", "commentary", "b")),
            delta("Hel", "b"),
            delta("p is", "b"),
            delta(" near", "b"),
            completed(message("Help is near", "commentary", "b")),
            completed(command("completed", aggregatedOutput="", exitCode=0)),
        ]
    )

    assert events[1:-1] == [
        MessageBegun("commentary"),
        TextDelta("Hello"),
        MessageBegun("commentary"),
        TextDelta("Help is"),
        TextDelta(" near"),
        said("Help is near", "commentary"),
    ]
    assert isinstance(events[-1], StepDone)


def test_a_message_whose_end_differs_from_its_deltas_begins_again():
    events = translate(started(message("")), delta("Hel"), completed(message("Good day")), completed(message("Next")))

    assert events == [
        MessageBegun("final_answer"),
        TextDelta("Hel"),
        MessageBegun("final_answer"),
        TextDelta("Good day"),
        MessageBegun("final_answer"),
        TextDelta("Next"),
    ]


def test_a_response_that_was_cut_costs_nothing_and_its_messages_are_still_repeated():
    """Codex reports the usage of the response before it again."""
    events = translate(
        used(),
        completed(message("One", item_id="a")),
        delta("Tw", "b"),
        used(),
        failed("Reconnecting... 1/2", will_retry=True),
        delta("One", "c"),
        completed(message("One", item_id="c")),
        delta("Two", "d"),
        completed(message("Two", item_id="d")),
        used(2),
    )

    assert [one for one in events if isinstance(one, Used)] == [Used(USAGE), Used(USAGE)]
    assert [one.text for one in events if isinstance(one, TextDelta)] == ["One", "Tw", "o"]


def test_a_failed_turn_fails_the_answer():
    assert isinstance(translate(ended("failed"))[-1], Failed)
    assert isinstance(translate(ended("interrupted"))[-1], Failed)


def test_nothing_follows_the_end():
    assert translate(ended(), completed(message("late"))) == [Finished("stop")]


def test_a_compaction_is_a_step_and_no_failure():
    wire = {"type": "contextCompaction", "id": "c"}
    events: Sequence[TurnEvent] = translate(started(wire), completed(wire))

    assert events == [StepBegun("c", "codex", "compact", {}), StepDone("c", "codex", "compact", {})]
