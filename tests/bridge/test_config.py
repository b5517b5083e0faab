from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.config import DEFAULT_ADDRESS, DEFAULTS, Settings, parse_address, parse_origin


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:8000", ("::1", 8000)),
        ("[::]:65535", ("::", 65535)),
        (":8000", ("", 8000)),
        ("8000", ("", 8000)),
    ],
    ids=["host and port", "any port", "IPv6", "highest port", "colon and port", "port"],
)
def test_an_address_is_a_host_and_a_port_or_a_port(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "localhost:", "localhost:http", "localhost:-1", "localhost:65536", "localhost:80 ", "[::1]"],
)
def test_an_invalid_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an address; use HOST:PORT, for example 127\.0\.0\.1:8000") as caught:
        parse_address(text)
    assert repr(text) in str(caught.value)


@settings(deadline=None)
@given(st.text())
def test_random_text_is_an_address_with_a_valid_port_or_refused(text: str) -> None:
    try:
        _, port = parse_address(text)
    except ValueError:
        return
    assert 0 <= port <= 65535


def test_the_default_address_is_that_of_the_default_settings() -> None:
    assert parse_address(DEFAULT_ADDRESS) == (DEFAULTS.host, DEFAULTS.port)


def test_by_default_there_is_no_key_and_the_limits_are_these() -> None:
    assert Settings() == Settings(
        host="",
        port=11435,
        codex=None,
        api_key=None,
        max_body=67108864,
        start_patience=10,
        head_patience=4,
        keep_alive=8,
        idle_timeout=600,
        reasoning="off",
        threads=64,
        thread_age=1800,
        grace=5,
    )


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://chat.example", "https://chat.example"),
        (" HTTPS://Chat.Example/ ", "https://chat.example"),
        ("https://chat.example:443", "https://chat.example"),
        ("http://chat.example:80", "http://chat.example"),
        ("http://chat.example:443", "http://chat.example:443"),
        ("https://chat.example:8443", "https://chat.example:8443"),
        ("http://[2001:db8::1]:3000", "http://[2001:db8::1]:3000"),
        ("http://192.168.1.7:3000", "http://192.168.1.7:3000"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
        ("*", "*"),
        ("null", "null"),
    ],
)
def test_an_origin_is_read_in_the_form_in_which_browsers_send_it(text: str, origin: str) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "chat.example",
        "https://",
        "https://chat.example/app",
        "https://*.example",
        "https://user@chat.example",
        "https://chat.example:port",
        "https://schön.example",
        "https://chat.example?",
        "https://a b",
    ],
)
def test_what_no_browser_sends_as_an_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an origin; use SCHEME://HOST\[:PORT\]"):
        parse_origin(text)
