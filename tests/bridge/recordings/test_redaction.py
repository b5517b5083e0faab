from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.recordings.redaction import Redactor

ACCOUNT = "7b1c0c2e-9a55-4a8e-8f0e-1d5e8f3b9a01"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


def redactor() -> Redactor:
    return Redactor(["our-own-key-42", "short"], "/srv/people/alice", "alice")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to a.b+c@mail.example.org, now", "write to <email>, now"),
        (f"Authorization: Bearer {JWT}", "Authorization: Bearer <token>"),
        (f"see {JWT}.", "see <token>."),
        ("Bearer abc.def-ghi_jkl", "Bearer <token>"),
        ("sk-proj-AbC_0123456789 is a key", "<api-key> is a key"),
        ("ghp_0123456789abcdefABCD", "<token>"),
        ("AKIAIOSFODNN7EXAMPLE", "<api-key>"),
        (f'{{"account_id": "{ACCOUNT}"}}', '{"account_id": "<account-id>"}'),
        (f'{{\\"accountId\\":\\"{ACCOUNT}\\"}}', '{\\"accountId\\":\\"<account-id>\\"}'),
        (f"chatgpt-account-id: {ACCOUNT}", "chatgpt-account-id: <account-id>"),
        (f"{ACCOUNT} is what account_id={ACCOUNT} says", "<account-id> is what account_id=<account-id> says"),
        ("installation_id = 0815-4711-x", "installation_id = <installation-id>"),
        ("refresh_token=abcDEF123456", "refresh_token=<token>"),
        ("org-abcDEF0123456789 pays", "<account-id> pays"),
        ("our-own-key-42", "<api-key>"),
        ("/home/bob/x and /Users/eve/y", "/home/user/x and /Users/user/y"),
        (r"C:\Users\bob\x and C:\\Users\\bob\\y", r"C:\Users\user\x and C:\\Users\\user\\y"),
        ("/srv/people/alice/x, /mnt/alice/y, alice", "/home/user/x, /mnt/user/y, alice"),
    ],
)
def test_identities_and_credentials_are_redacted(text: str, expected: str) -> None:
    assert redactor().text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "token = lexer.next()",
        "max_tokens: 12345678",
        "password = input",
        "a@b, x@y.z1",
        f"the thread {ACCOUNT}",
        "/home/user/x",
        "/srv/people/alice-smith",
        "sk-1",
        "short",
        "bearer of news",
        "email",
    ],
)
def test_text_that_only_resembles_a_secret_stays(text: str) -> None:
    assert redactor().text(text) == text


def test_values_with_the_name_of_a_secret_are_redacted_whatever_their_form() -> None:
    value: dict[str, Any] = {
        "access_token": "plain words",
        "accountId": ["not a text"],
        "Api-Key": "x",
        "email": "",
        "user": "alice",
        "nested": [{"chatgptAccountId": ACCOUNT}, f"again {ACCOUNT}", 7, None],
        "properties": {"email": {"type": "string"}},
        "a@example.org": True,
    }
    assert redactor().json(value) == {
        "access_token": "<token>",
        "accountId": ["not a text"],
        "Api-Key": "<api-key>",
        "email": "",
        "user": "<user>",
        "nested": [{"chatgptAccountId": "<account-id>"}, "again <account-id>", 7, None],
        "properties": {"email": {"type": "string"}},
        "<email>": True,
    }


def test_a_value_once_named_secret_is_redacted_from_then_on() -> None:
    it = redactor()
    assert it.text(f"thread {ACCOUNT}") == f"thread {ACCOUNT}"
    it.learn({"result": [{"account_id": ACCOUNT}]})
    assert it.text(f"thread {ACCOUNT}") == "thread <account-id>"


@given(st.lists(st.integers(0, 60)))
def test_a_text_in_pieces_is_redacted_like_the_whole_text(cuts: list[int]) -> None:
    text = f"I am a@example.org with {JWT}."
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in itertools.pairwise(places)]
    redacted = redactor().pieces(pieces)
    assert len(redacted) == len(pieces)
    assert "".join(redacted) == redactor().text(text) == "I am <email> with <token>."


def test_a_placeholder_is_in_the_piece_in_which_the_secret_begins() -> None:
    assert redactor().pieces(["I am a@ex", "ample", ".org", "!"]) == ["I am <email>", "", "", "!"]


@given(st.text())
def test_redacting_twice_changes_nothing(text: str) -> None:
    once = redactor().text(text)
    assert redactor().text(once) == once


def test_a_redactor_without_known_secrets_still_recognises_their_forms() -> None:
    assert Redactor().text("a@example.org in /home/bob") == "<email> in /home/user"
