from __future__ import annotations

import pytest

from bridge.access import check_access

KEY = "s3cret"


@pytest.mark.parametrize(
    "peer",
    [None, "127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"],
    ids=["unix socket", "IPv4", "all of 127/8", "IPv6", "IPv4 in IPv6"],
)
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer anything"}], ids=["no key sent", "some key sent"])
def test_without_a_key_this_machine_may_come_with_any_key(peer: str | None, headers: dict[str, str]) -> None:
    assert check_access(peer, headers, None) is None


@pytest.mark.parametrize(
    "peer",
    ["192.168.1.7", "0.0.0.0", "8.8.8.8", "fe80::1", "fe80::1%eth0", "::ffff:10.0.0.1", "2001:db8::1", "localhost", ""],
)
def test_without_a_key_nobody_else_may_come_and_is_told_how_to_be_admitted(peer: str) -> None:
    refusal = check_access(peer, {"authorization": "Bearer anything"}, None)
    assert refusal is not None
    assert (refusal.status, refusal.code) == (401, "invalid_api_key")
    assert "CODEX_OPENAI_PROXY_API_KEY" in refusal.message


@pytest.mark.parametrize("peer", ["127.0.0.1", "8.8.8.8", None], ids=["this machine", "elsewhere", "unix socket"])
@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer {KEY}"},
        {"authorization": f"BEARER  {KEY} "},
        {"api-key": KEY},
        {"authorization": "Basic dXNlcjpwdw==", "api-key": KEY},
        {"authorization": "Bearer ", "api-key": KEY},
    ],
    ids=["Bearer", "lower case", "stray spaces", "Azure", "Azure beside Basic", "Azure beside an empty Bearer"],
)
def test_whoever_sends_the_key_may_come_from_anywhere(peer: str | None, headers: dict[str, str]) -> None:
    assert check_access(peer, headers, KEY) is None


@pytest.mark.parametrize("peer", ["127.0.0.1", "8.8.8.8", None], ids=["this machine", "elsewhere", "unix socket"])
@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "No API key was sent."),
        ({"authorization": KEY}, "No API key was sent."),
        ({"authorization": f"Basic {KEY}"}, "No API key was sent."),
        ({"authorization": "Bearer "}, "No API key was sent."),
        ({"authorization": "Bearer wrong"}, "The API key is not the one"),
        ({"authorization": f"Bearer {KEY}x"}, "The API key is not the one"),
        ({"authorization": f"Bearer {KEY[:-1]}"}, "The API key is not the one"),
        ({"authorization": f"Bearer {KEY.upper()}"}, "The API key is not the one"),
        ({"authorization": "Bearer schlüssel"}, "The API key is not the one"),
        ({"api-key": "wrong"}, "The API key is not the one"),
        ({"api-key": ""}, "The API key is not the one"),
    ],
    ids=[
        "none",
        "no scheme",
        "Basic",
        "empty Bearer",
        "wrong",
        "longer",
        "shorter",
        "other case",
        "not ASCII",
        "wrong Azure",
        "empty Azure",
    ],
)
def test_with_a_key_set_whoever_does_not_send_it_is_refused(
    peer: str | None, headers: dict[str, str], message: str
) -> None:
    refusal = check_access(peer, headers, KEY)
    assert refusal is not None
    assert (refusal.status, refusal.code, refusal.headers) == (401, "invalid_api_key", {"www-authenticate": "Bearer"})
    assert refusal.message.startswith(message)
    assert KEY not in refusal.message
