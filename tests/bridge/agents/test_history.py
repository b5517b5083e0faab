from __future__ import annotations

from typing import Any

import pytest

from bridge.agents.history import read_history
from bridge.conversation.prompt import function_call, function_call_output, message
from bridge.errors import ApiError
from bridge.openai.chat.activity import SEPARATOR

FOLDER = "/srv/site"


def user(text: str) -> Any:
    return message("user", text)


def said(text: str, phase: str | None = None) -> Any:
    return {**message("assistant", text), "phase": phase}


def test_the_answer_of_a_request_leads_to_the_key_of_the_next_one() -> None:
    first = read_history([user("1")])
    assert first.key(FOLDER) is None
    second = read_history([user("1"), said("One."), user("2")])
    assert second.key(FOLDER) == first.next_key(FOLDER, "One.")
    third = read_history([user("1"), said("One."), user("2"), said("Two."), user("3")])
    assert third.key(FOLDER) == second.next_key(FOLDER, "Two. \n")


@pytest.mark.parametrize(
    "items",
    [
        [message("developer", "It is noon."), user("1"), said("One."), user("2")],
        [user("1"), said("I look.", "commentary"), said("One."), user("2")],
        [user("1"), said("I look."), said("One.", "final_answer"), message("developer", "Now."), user("2")],
        [user("1"), function_call("c", "f", "{}"), function_call_output("c", "x"), said("One.\n"), user("2")],
    ],
)
def test_what_clients_change_or_leave_out_does_not_change_the_key(items: list[Any]) -> None:
    plain = read_history([user("1"), said("One."), user("2")])
    assert read_history(items).key(FOLDER) == plain.key(FOLDER)


@pytest.mark.parametrize(
    "items",
    [
        [user("1"), said("Two."), user("2")],
        [user("2"), said("One."), user("2")],
        [user("0"), user("1"), said("One."), user("2")],
        [user("0"), said("Zero."), user("1"), said("One."), user("2")],
    ],
)
def test_other_words_have_another_key(items: list[Any]) -> None:
    plain = read_history([user("1"), said("One."), user("2")])
    assert read_history(items).key(FOLDER) != plain.key(FOLDER)


def test_another_folder_has_another_key() -> None:
    history = read_history([user("1"), said("One."), user("2")])
    assert history.key(FOLDER) != history.key("/srv/other")


def test_the_last_message_is_the_input_of_the_turn_and_those_before_it_are_items() -> None:
    image = {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "data:x"}]}
    history = read_history([user("1"), said("One."), user("2"), image])
    assert history.turn_input() == [{"type": "image", "url": "data:x"}]
    assert history.before_input() == [user("2")]
    assert history.visible == (user("1"), said("One."))


def test_commentary_is_the_answer_if_nothing_else_was_said() -> None:
    commented = read_history([user("1"), said("I look.", "commentary"), said("One.", "commentary"), user("2")])
    assert commented.key(FOLDER) == read_history([user("1"), said("One."), user("2")]).key(FOLDER)


def test_what_was_shown_before_an_answer_does_not_count() -> None:
    shown = read_history([user("1"), said(f"I look.{SEPARATOR}One."), user("2")])
    plain = read_history([user("1"), said("One."), user("2")])
    assert shown.key(FOLDER) == plain.key(FOLDER)
    assert shown.visible[-1]["content"] == message("assistant", "One.")["content"]


@pytest.mark.parametrize("items", [[], [message("developer", "Be kind.")], [user("1"), said("One.")]])
def test_a_request_without_a_new_message_of_the_user_is_refused(items: list[Any]) -> None:
    with pytest.raises(ApiError) as caught:
        read_history(items)
    assert caught.value.status == 400


def test_system_messages_are_compared_apart() -> None:
    noon, night = (read_history([message("developer", text), user("1")]) for text in ("noon", "night"))
    assert noon.notes_digest() != night.notes_digest()
    assert noon.notes_digest() == read_history([user("1")], [message("developer", "noon")]).notes_digest()


def test_calls_of_client_tools_are_visible_to_another_thread_and_those_for_approvals_are_not() -> None:
    call, output = function_call("c", "lookup", "{}"), function_call_output("c", "found")
    approval = function_call("q", "codex_approval", "{}"), function_call_output("q", "yes")
    history = read_history([user("1"), call, output, *approval, said("One."), user("2")])
    assert history.visible == (user("1"), {**call, "namespace": "client"}, output, said("One."))


def test_a_request_that_resumes_a_turn_has_only_the_new_messages_and_leads_to_the_same_key() -> None:
    call = function_call("q", "codex_approval", "{}"), function_call_output("q", "yes")
    first = read_history([user("1")])
    for before in ([], [said("I look.", "commentary")]):
        resumed = read_history([user("1"), *before, *call], is_resumed=True)
        assert resumed.messages_since(first) == []
        after = read_history([user("1"), *before, *call, said("One."), user("2")])
        assert after.key(FOLDER) == resumed.next_key(FOLDER, "One.")
        steered = read_history([user("1"), *before, *call, user("Also this.")], is_resumed=True)
        assert steered.messages_since(first) == [[{"type": "text", "text": "Also this."}]]
        after = read_history([user("1"), *before, *call, user("Also this."), said("One."), user("2")])
        assert after.key(FOLDER) == steered.next_key(FOLDER, "One.")


def test_a_request_that_resumes_a_turn_and_leaves_the_history_out_has_no_new_message() -> None:
    earlier = read_history([user("1"), said("One."), user("2")])
    assert read_history([user("2")], is_resumed=True).messages_since(earlier) == []
