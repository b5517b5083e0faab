from __future__ import annotations

from bridge.agents.place import Place


def test_the_conversations_of_each_client_key_are_found_by_other_keys() -> None:
    places = [Place(conversation=named, key=key) for named in (None, "mine") for key in (None, "k1", "k2")]
    keys = [key for place in places for key in place.keys("history")]
    assert len(keys) == 3 + 2 * 3
    assert len(set(keys)) == 6
    assert Place().keys("history") == ("history",)


def test_a_conversation_with_a_name_is_also_found_without_it() -> None:
    assert Place(conversation="mine", key="k1").keys("history")[1:] == Place(key="k1").keys("history")
