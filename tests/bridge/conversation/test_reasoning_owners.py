from __future__ import annotations

from typing import Any

import pytest

from bridge.conversation.prompt import Item, message
from bridge.conversation.reasoning_owners import ReasoningOwners, digest_reasoning, is_reasoning_refused
from bridge.errors import invalid_request

HELLO = message("user", "Hello")


def reasoning(encrypted: str | None, item_id: str = "rs_1") -> Item:
    fields: dict[str, Any] = {} if encrypted is None else {"encrypted_content": encrypted}
    return {"type": "reasoning", "id": item_id, "summary": [], **fields}


def test_only_the_owner_can_use_reasoning() -> None:
    owners = ReasoningOwners()
    owners.note([HELLO, reasoning("x")], "A")
    items = (HELLO, reasoning("x", "rs_2"), reasoning(None))
    assert owners.usable(items, "A") == items
    assert owners.usable(items, "B") == (HELLO, reasoning(None))


def test_reasoning_of_an_unknown_owner_can_be_used_until_it_is_refused() -> None:
    owners = ReasoningOwners()
    assert owners.usable([reasoning("x")], "A") == (reasoning("x"),)
    owners.refused(digest_reasoning([reasoning("x")]))
    assert owners.usable([reasoning("x"), HELLO], "A") == (HELLO,)


def test_the_least_recently_used_owners_are_forgotten() -> None:
    owners = ReasoningOwners(most=2)
    owners.note([reasoning("x"), reasoning("y")], "A")
    assert owners.usable([reasoning("x")], "B") == ()
    owners.note([reasoning("z")], "A")
    kept = [one for one in "xyz" if not owners.usable([reasoning(one)], "B")]
    assert len(kept) == 2
    assert "z" in kept


@pytest.mark.parametrize(
    ("message_text", "code", "is_refusal"),
    [
        ("No.", "invalid_encrypted_content", True),
        ("The encrypted content gA could not be verified.", None, True),
        ("Encrypted content for rs_1\ncould not be decrypted or parsed.", None, True),
        ("The signature could not be verified.", None, False),
        ("Reasoning is too long.", "context_length_exceeded", False),
    ],
)
def test_a_refusal_of_reasoning_is_known_by_its_code_or_its_text(
    message_text: str, code: str | None, is_refusal: bool
) -> None:
    assert is_reasoning_refused(invalid_request(message_text, code=code)) == is_refusal
