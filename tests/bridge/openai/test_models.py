from __future__ import annotations

from bridge.openai.models import model_list, model_object


def test_a_model_is_the_object_of_the_openai_api() -> None:
    assert model_object("2.5-tpg", 1768247311) == {
        "id": "2.5-tpg",
        "object": "model",
        "created": 1768247311,
        "owned_by": "codex",
    }


def test_the_list_keeps_the_order_of_the_names() -> None:
    assert model_list(["b", "a"], 7) == {"object": "list", "data": [model_object("b", 7), model_object("a", 7)]}


def test_the_list_may_be_empty() -> None:
    assert model_list([], 7) == {"object": "list", "data": []}
