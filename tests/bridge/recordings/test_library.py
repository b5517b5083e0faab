from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bridge.codex.models import NAMED
from bridge.conversation.prompt import Prompt, message
from bridge.errors import ApiError
from bridge.recordings.case_folders import load_cases
from bridge.recordings.cases import Case
from bridge.recordings.library import Library
from bridge.recordings.redaction import Redactor
from codex_rpc.recording.session import read_lines, write_lines
from tests.record_fixtures import FIXTURES

CASES = {case.name: case for case in load_cases(FIXTURES)}
SAY_HI = Prompt("gpt-5.2-codex", (message("user", "Say hi."),))


def library(*cases: Case, **options: Any) -> Library:
    return Library(cases, Redactor(), **options)


def test_of_equal_recordings_the_one_with_the_same_streaming_is_found() -> None:
    streamed = CASES["plain-text"]
    request = {name: value for name, value in streamed.exchanges[0].request.items() if name != "stream"}
    whole = replace(streamed, name="whole", exchanges=(replace(streamed.exchanges[0], request=request),))
    both = library(whole, streamed)
    assert both.find(SAY_HI, {"stream": True}).case is streamed
    assert both.find(SAY_HI, {}).case is whole
    assert both.find(SAY_HI, {"stream": True}).exchange is streamed.exchanges[0]
    assert library(streamed).find(SAY_HI, {}).case is streamed


def test_a_request_is_redacted_before_the_lookup() -> None:
    case = CASES["plain-text"]
    wanted = replace(SAY_HI, items=(message("user", "Say hi to a@example.org."),))
    session = write_lines(case.lines).replace(b"Say hi.", b"Say hi to <email>.")
    assert library(replace(case, lines=read_lines(session))).find(wanted, {}).case.name == "plain-text"


def test_an_exchange_without_a_step_is_found_by_its_request() -> None:
    case = CASES["one-tool"]
    first, second = case.exchanges
    held = replace(first, request={"messages": [1]}, line=len(case.lines))
    with_held = library(replace(case, exchanges=(first, second, held)))
    assert with_held.find(SAY_HI, {"messages": [1]}).exchange is held


def test_the_named_models_and_those_of_the_recordings_are_listed() -> None:
    case = CASES["plain-text"]
    other = replace(case, model={**case.model, "model": "gpt-9"})
    assert [model.slug for model in library(case, other).listed()] == [*NAMED, "gpt-9"]
    assert library(case).listed()[0].efforts == ("low", "medium", "high", "xhigh")
    assert library(replace(case, model={})).listed()[0].efforts == ()


def test_an_empty_library_finds_nothing() -> None:
    with pytest.raises(ApiError) as refusal:
        library().find(SAY_HI, {})
    assert (refusal.value.status, refusal.value.code) == (404, "no_recording")
    assert refusal.value.message == "There are no recordings."


def test_the_nearest_case_has_the_longest_common_beginning() -> None:
    wanted = replace(SAY_HI, items=(*SAY_HI.items, message("assistant", "Hi! I am"), message("user", "Thanks.")))
    with pytest.raises(ApiError) as refusal:
        library(*CASES.values()).find(wanted, {})
    assert (
        "Request 2 of the case 'plain-text' comes nearest; it differs first at items[1].answer" in refusal.value.message
    )


def test_a_demo_names_the_messages_that_begin_a_recorded_conversation() -> None:
    found = library(*CASES.values())
    assert list(found.openings(of_agents=True)) == [
        "Who has not answered yet?",
        "Invite Eve, and count who has answered.",
    ]
    openings = list(found.openings())
    assert "Who has not answered yet?" not in openings
    assert "Say hi." in openings
    assert "What is the weather in Paris?" not in openings
    assert "Describe Paris." not in openings
