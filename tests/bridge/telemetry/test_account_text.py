from __future__ import annotations

import pytest

from bridge.telemetry.report import describe_account, mask_email
from codex_rpc.wire.calls import Account


@pytest.mark.parametrize(
    ("account", "words"),
    [
        (Account("chatgpt", "plus", True, "ada@example.com"), "ChatGPT Plus, a…@example.com"),
        (Account("chatgpt", "edu_plus", True), "ChatGPT Edu Plus"),
        (Account("chatgpt", "unknown", True), "ChatGPT"),
        (Account("chatgpt", None, True), "ChatGPT"),
        (Account("apiKey", None, True), "an OpenAI API key"),
        (Account("amazonBedrock", None, False), "Amazon Bedrock"),
        (Account("somethingNew", None, True), "somethingNew"),
        (Account(None, None, True), "not logged in"),
        (Account(None, None, False), "your own model provider, which needs no login"),
    ],
)
def test_an_account_is_described_with_its_address_masked(account: Account, words: str) -> None:
    assert describe_account(account) == words


@pytest.mark.parametrize(
    ("email", "masked"),
    [("ada@example.com", "a…@example.com"), ("a@b@example.com", "a…@example.com"), ("@x", "…@x"), ("nonsense", "…")],
)
def test_an_address_keeps_its_first_letter_and_its_domain(email: str, masked: str) -> None:
    assert mask_email(email) == masked
