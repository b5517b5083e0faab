from __future__ import annotations

from typing import Any

import pytest

from bridge.conversation.prompt import Item, function_call, function_call_output, message
from bridge.conversation.token_estimate import PER_IMAGE, PER_ITEM, estimate_tokens, tokens_by_size
from bridge.conversation.tools import Tool, Toolbox

IMAGE: Any = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 400_000}


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("grüß", 2), ("\ud800", 1)])
def test_a_token_is_about_four_bytes(text: str, tokens: int) -> None:
    assert tokens_by_size(text) == tokens


@pytest.mark.parametrize(
    ("item", "tokens"),
    [
        (message("user", "abcdefgh"), 2),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "abcd"}, IMAGE]},
            1 + PER_IMAGE,
        ),
        (function_call("call_1", "look", '{"at": 1}'), 1 + 3),
        (function_call_output("call_1", "seen"), 1),
        (function_call_output("call_1", [{"type": "input_text", "text": "seen"}, IMAGE]), 1 + PER_IMAGE),
        ({"type": "reasoning", "summary": [{"text": "abcd"}], "encrypted_content": "abcdefgh"}, 1 + 2),
        ({"type": "web_search_call", "status": "completed"}, 0),
    ],
)
def test_an_item_counts_its_texts_and_not_the_bytes_of_its_images(item: Item, tokens: int) -> None:
    assert estimate_tokens([item], Toolbox()) == PER_ITEM + tokens


def test_tools_count_with_their_schemas() -> None:
    small, large = (Toolbox((Tool.function("look", text, {}),)) for text in ("", "x" * 4000))
    assert 10 < estimate_tokens([], small) < 60
    assert 990 < estimate_tokens([], large) - estimate_tokens([], small) < 1010
